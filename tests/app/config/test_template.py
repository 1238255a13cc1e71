"""The starter file runs as it is, and an expanded configuration makes the same plan again."""

import re

import msgspec
import pytest
import yaml

from steelyard.app.config.template import STARTER, as_config


def test_the_starter_file_has_no_mistakes(plan_of):
    plan = plan_of(STARTER)
    assert [phase.name for phase in plan.phases] == ["warmup", "profiling"]


def test_every_commented_line_of_the_starter_is_right_too(plan_of):
    text = re.sub(r"(?m)^(\s*)# (urls|headers|extra_inputs|duration|grace_period|goodput):",
                  r"\1\2:", STARTER)  # fmt: skip
    assert text != STARTER
    plan = plan_of(text)
    assert plan.goodput == {"time_to_first_token": 200, "inter_token_latency": 20}
    assert plan.endpoint.headers == (("X-Team", "bench"),)
    assert plan.phases[-1].duration_s == 60


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"url": "127.0.0.1:9", "model": "a,b", "header": "X-A:1", "extra_inputs": "seed:1"},
        {"request_rate": 3, "arrival_smoothness": 2, "benchmark_duration": "3s", "osl": 5},
        {"concurrency": 3, "warmup_duration": 2, "use_legacy_max_tokens": False, "fail_on": ""},
        {"num_conversations": 5, "artifact_dir": "here", "plugin_dir": "a:b", "workers": 2},
        {"request_rate": 9, "request_rate_ramp_duration": 3, "ramp_strategy": "poisson"},
        {"concurrency": 9, "concurrency_ramp_duration": 3, "request_cancellation_rate": 5},
        {"conversation_turn_mean": 3, "conversation_turn_delay_mean": 20, "slice_duration": 2},
        {"input_file": "trace.jsonl", "fixed_schedule_end_offset": 9, "export_http_trace": True},
        {"request_rate_series": "rates.json", "show_trace_timing": True},
        {"run_type": "remote", "listen": "127.0.0.2:9", "join_file": "x.join"},
        {"run_type": "ray", "ray_address": "127.0.0.2:9", "engine_option": "token_path=token"},
        {"run_type": "ray", "listen": "127.0.0.2:0", "worker_label": "a=b", "workers": 4},
        {"run_type": "k8s", "k8s_node_selector": "a=b", "k8s_output": "out", "k8s_storage": ""},
    ],
)
def test_an_expanded_plan_is_a_configuration_of_the_same_plan(plan_of, tmp_path, flags):
    (tmp_path / "trace.jsonl").write_text('{"input_length": 9, "timestamp": 3}\n')
    (tmp_path / "rates.json").write_text('[{"time_s": 0, "qps": 5}, {"time_s": 9, "qps": 7}]')
    plan = plan_of("phases: []", {}, **flags)
    again = plan_of(yaml.safe_dump(as_config(plan)))
    ours, theirs = msgspec.to_builtins(plan), msgspec.to_builtins(again)
    embedded = ours["options"].pop("embedded_mock", None)
    assert theirs["options"].pop("embedded_mock", None) == embedded
    assert theirs == ours
