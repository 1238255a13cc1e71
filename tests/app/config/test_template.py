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
    ],
)
def test_an_expanded_plan_is_a_configuration_of_the_same_plan(plan_of, flags):
    plan = plan_of("phases: []", {}, **flags)
    again = plan_of(yaml.safe_dump(as_config(plan)))
    ours, theirs = msgspec.to_builtins(plan), msgspec.to_builtins(again)
    embedded = ours["options"].pop("embedded_mock", None)
    assert theirs["options"].pop("embedded_mock", None) == embedded
    assert theirs == ours
