"""Each field is defined once, and every flag of it reaches the plan."""

import msgspec
import pytest

from steelyard.app.config.fields import all_fields, env_fields, flag_fields
from steelyard.app.config.flag import GROUP_ORDER
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.unsupported import UNSUPPORTED

TRACED = {"input_file": "trace.jsonl", "fixed_schedule": True}
RANKED = {"endpoint_type": "nim_rankings"}

K8S, RAY, REMOTE = {"run_type": "k8s"}, {"run_type": "ray"}, {"run_type": "remote"}

# For each flag: words that differ from the default, and what they need beside them.
SAMPLES = {
    "model": ("a,b", {}),
    "endpoint_type": ("completions", {}),
    "url": ("http://127.0.0.1:9", {"model": "m"}),
    "endpoint": ("/v9", {}),
    "streaming": (True, {}),
    "url_strategy": ("random", {}),
    "transport": (None, {}),  # only one comes with Steelyard; see test_loading for wrong names
    "request_timeout_seconds": ("7", {}),
    "connect_timeout_seconds": ("7", {}),
    "connection_reuse_strategy": ("never", {}),
    "use_server_token_count": (False, {}),
    "use_legacy_max_tokens": (True, {}),
    "insecure": (True, {}),
    "ca_file": ("ca.pem", {}),
    "first_byte_timeout_seconds": ("7", {}),
    "idle_timeout_seconds": ("7", {}),
    "api_key_env": ("KEY", {}),
    "header": ("X-Team: a", {}),
    "extra_inputs": (["temperature:0", "top_p:0.5"], {}),
    "custom_dataset_type": ("single_turn", {}),
    "input_file": ("prompts.jsonl", {}),
    "num_dataset_entries": ("7", {}),
    "num_conversations": ("7", {}),
    "dataset_sampling_strategy": ("shuffle", {}),
    "isl": ("7", {}),
    "isl_stddev": ("7", {}),
    "osl": ("7", {}),
    "osl_stddev": ("7", {"osl": 9}),
    "random_seed": ("7", {}),
    "isl_block_size": (
        "7",
        {"custom_dataset_type": "mooncake_trace", "input_file": "prompts.jsonl"},
    ),
    "rankings_passages_mean": ("7", RANKED),
    "rankings_passages_stddev": ("7", RANKED),
    "rankings_passages_prompt_token_mean": ("7", RANKED),
    "rankings_passages_prompt_token_stddev": ("7", RANKED),
    "rankings_query_prompt_token_mean": ("7", RANKED),
    "rankings_query_prompt_token_stddev": ("7", RANKED),
    "tokenizer": (None, {}),  # see test_choices
    "apply_chat_template": (False, {}),
    "concurrency": ("7", {}),
    "prefill_concurrency": ("7", {"streaming": True, "concurrency": 9}),
    "request_rate": ("7", {}),
    "arrival_pattern": ("constant", {"request_rate": 5}),
    "arrival_smoothness": ("7", {"request_rate": 5}),
    "concurrency_ramp_duration": ("7", {"concurrency": 9}),
    "prefill_concurrency_ramp_duration": ("7", {"streaming": True, "prefill_concurrency": 1}),
    "request_rate_ramp_duration": ("7", {"request_rate": 5}),
    "request_rate_series": ("rates.json", {}),
    "ramp_strategy": ("exponential", {"request_rate": 5, "request_rate_ramp_duration": 2}),
    "fixed_schedule": (True, {"input_file": "trace.jsonl"}),
    "fixed_schedule_auto_offset": (False, TRACED),
    "fixed_schedule_start_offset": ("7", TRACED),
    "fixed_schedule_end_offset": ("7", TRACED),
    "request_cancellation_rate": ("7", {}),
    "request_cancellation_delay": ("7", {"request_cancellation_rate": 5}),
    "conversation_turn_mean": ("7", {}),
    "conversation_turn_stddev": ("7", {}),
    "conversation_turn_delay_mean": ("7", {}),
    "conversation_turn_delay_stddev": ("7", {"conversation_turn_delay_mean": 9}),
    "conversation_turn_delay_ratio": ("7", {}),
    "slice_duration": ("7", {}),
    "export_http_trace": (True, {}),
    "show_trace_timing": (True, {}),
    "num_warmup_sessions": ("7", {}),
    "warmup_concurrency_ramp_duration": ("7", {"warmup_request_count": 5, "concurrency": 9}),
    "warmup_prefill_concurrency_ramp_duration": (
        "7",
        {"warmup_request_count": 5, "streaming": True, "prefill_concurrency": 1},
    ),
    "warmup_request_rate_ramp_duration": ("7", {"warmup_request_count": 5, "request_rate": 9}),
    "warmup_ramp_strategy": (
        "poisson",
        {"warmup_request_count": 5, "concurrency": 9, "concurrency_ramp_duration": 3},
    ),
    "request_count": ("7", {}),
    "benchmark_duration": ("7", {}),
    "benchmark_grace_period": ("7", {"benchmark_duration": 5}),
    "warmup_concurrency": ("7", {"warmup_request_count": 5}),
    "warmup_prefill_concurrency": (
        "7",
        {"warmup_request_count": 5, "concurrency": 9, "streaming": True},
    ),
    "warmup_request_rate": ("7", {"warmup_request_count": 5}),
    "warmup_arrival_pattern": ("constant", {"warmup_request_count": 5, "request_rate": 5}),
    "warmup_arrival_smoothness": ("7", {"warmup_request_count": 5, "request_rate": 5}),
    "warmup_request_count": ("7", {}),
    "warmup_duration": ("7", {}),
    "warmup_grace_period": ("7", {"warmup_duration": 5}),
    "goodput": ("time_to_first_token:7", {}),
    "artifact_dir": ("elsewhere", {}),
    "export_level": ("records", {}),
    "exporters": ("json", {}),
    "track": ("jsonl,local", {}),
    "track_project": ("research", {"track": "local"}),
    "track_name": ("first", {"track": "local"}),
    "track_tag": ("team:infra", {"track": "local"}),
    "track_dir": ("runs", {"track": "local"}),
    "otel_url": ("127.0.0.1:4318", {}),
    "stream": ("timing", {"otel_url": "127.0.0.1:4318"}),
    "otel_resource_attributes": ("team=infra", {"otel_url": "127.0.0.1:4318"}),
    "fail_on": ("suspect,invalid", {}),
    "run_type": ("inline", {}),
    "listen": ("127.0.0.1:9", REMOTE),
    "advertise": ("bench.example", REMOTE),
    "join_file": ("run.join", REMOTE),
    "join_timeout": ("7", REMOTE),
    "ray_address": ("127.0.0.2:9", RAY),
    "engine_option": ("token_path=token", RAY),
    "worker_label": ("role=bench", RAY),
    "k8s_image": ("example/image:1", K8S),
    "k8s_namespace": ("bench", K8S),
    "k8s_output": ("manifests", K8S),
    "k8s_node_selector": ("pool=load", K8S),
    "k8s_label": ("team=infra", K8S),
    "k8s_cpu": ("500m", K8S),
    "k8s_memory": ("3Gi", K8S),
    "k8s_storage": ("9Gi", K8S),
    "k8s_storage_class": ("fast", K8S),
    "k8s_image_pull_secret": ("pull", K8S),
    "k8s_ttl": ("60", K8S),
    "log_level": ("debug", {}),
    "workers": ("7", {}),
    "ui": ("none", {}),
    "plugin_dir": ("plugs", {}),
}


def spelled(plan):
    return msgspec.to_builtins(plan)


def test_every_flag_has_a_sample():
    assert set(SAMPLES) == {field.attribute for field in flag_fields()}


@pytest.mark.parametrize("attribute", [name for name, (word, _) in SAMPLES.items() if word])
def test_every_flag_and_its_variable_change_the_plan_alike(plan_of, tmp_path, attribute):
    (tmp_path / "prompts.jsonl").write_text('{"text": "hi"}\n')
    (tmp_path / "trace.jsonl").write_text('{"text": "hi", "timestamp": 3}\n')
    (tmp_path / "rates.json").write_text('[{"time_s": 0, "qps": 5}, {"time_s": 9, "qps": 7}]')
    word, beside = SAMPLES[attribute]
    variable = next(field.env for field in flag_fields() if field.attribute == attribute)
    environ = {"KEY": "k"}
    without = spelled(plan_of(None, environ, **beside))
    with_flag = spelled(plan_of(None, environ, **beside, **{attribute: word}))
    assert with_flag != without
    if not isinstance(word, list):
        text = str(word).lower() if isinstance(word, bool) else word
        assert spelled(plan_of(None, {**environ, variable: text}, **beside)) == with_flag


def test_a_switch_that_is_on_by_default_can_be_turned_off(plan_of):
    assert plan_of(None, {}, use_server_token_count=False).endpoint.use_server_token_count is False


def test_names_flags_and_variables_are_unique():
    names = [name for field in flag_fields() for name in field.names]
    assert len(names) == len(set(names))
    assert len(env_fields()) == len(flag_fields())


def test_no_flag_is_both_supported_and_refused():
    assert {name for field in flag_fields() for name in field.names} & set(UNSUPPORTED) == set()


def test_every_field_says_what_it_is_and_stands_under_a_known_heading():
    for field in all_fields():
        assert field.description.endswith("."), field.dotted
        assert not field.names or field.group in GROUP_ORDER, field.dotted


def test_the_schema_describes_every_top_level_key():
    schema = BenchmarkConfig.model_json_schema()
    assert set(schema["properties"]) == set(BenchmarkConfig.model_fields)
    assert schema["additionalProperties"] is False
