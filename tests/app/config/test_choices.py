"""What is chosen where a person says less: the dataset, the tokenizer, the template."""

import pytest

from steelyard.app.config.unsupported import UNSUPPORTED
from steelyard.kernel.errors import ConfigError

NONE = {"url": "127.0.0.1:9", "model": "m"}


@pytest.mark.parametrize(
    ("endpoint", "name", "text", "dataset"),
    [
        ("chat", None, "", "synthetic"),
        ("cohere_rankings", None, "", "synthetic_rankings"),
        ("chat", "in.jsonl", '{"text": "a"}', "single_turn"),
        ("chat", "in.jsonl", '{"session_id": "s", "turns": ["a"]}', "multi_turn"),
        ("chat", "in.jsonl", '{"timestamp": 0, "input_length": 3}', "mooncake_trace"),
        ("chat", "in.jsonl", "nonsense", "single_turn"),
        ("raw", "in.jsonl", '{"turns": []}', "raw_payload"),
        ("raw", "inputs.json", "{}", "inputs_json"),
        ("chat", ".", "", "random_pool"),
    ],
)
def test_the_dataset_follows_from_endpoint_and_file(
    plan_of, tmp_path, endpoint, name, text, dataset
):
    """The first line of a file tells; `--custom-dataset-type` overrules."""
    flags = {**NONE, "endpoint_type": endpoint, "input_file": name}
    if text and name:
        (tmp_path / name).write_text(text)
    assert plan_of(None, {}, **flags).dataset.type == dataset
    if name and endpoint != "raw":
        told = plan_of(None, {}, **flags, custom_dataset_type="multi_turn")
        assert told.dataset.type == "multi_turn"


def test_a_tokenizer_is_a_plugin_a_path_or_a_package(plan_of, tmp_path, monkeypatch):
    """A path is made absolute, from the YAML file where that names it."""
    assert plan_of(None, {}).dataset.tokenizer == "builtin"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    for name in ("model", "./model/tokenizer.json"):
        plan = plan_of(None, {}, tokenizer=name).dataset
        assert plan.tokenizer == "tokenizer_json"
        assert plan.tokenizer_options["path"].startswith(str(tmp_path / "model"))
    assert plan_of("tokenizer: {name: model}").dataset.tokenizer_options == {
        "path": str(tmp_path / "model")
    }
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere" / "carrier_of_tokens").mkdir(parents=True)
    (tmp_path / "elsewhere" / "carrier_of_tokens" / "__init__.py").write_text("raise SystemExit")
    plan = plan_of(None, {}, tokenizer="carrier-of-tokens").dataset
    assert (plan.tokenizer, plan.tokenizer_options) == (
        "tokenizer_json", {"package": "carrier-of-tokens"},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["meta/model", "no-such-thing-anywhere"])
def test_an_unknown_tokenizer_is_told_what_there_is(plan_of, name):
    with pytest.raises(ConfigError, match=r"path of a tokenizer\.json, or an installed package"):
        plan_of(None, {}, tokenizer=name)


def test_a_template_in_yaml_is_the_endpoints_option(plan_of):
    plan = plan_of("endpoint: {type: template, template: {body: b.jinja, response_field: a.b}}")
    assert plan.endpoint.options == {"payload_template": "b.jinja", "response_field": "a.b"}


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("payload_template=body.jinja", "payload_template", "body.jinja"),
        ("payload_template:./a=b.jinja", "payload_template", "./a=b.jinja"),
        (
            'payload_template:{"q": {{ text|tojson }}}',
            "payload_template",
            '{"q": {{ text|tojson }}}',
        ),
        ("temperature=0.5", "temperature", 0.5),
        ("url=http://x", "url", "http://x"),
    ],
)
def test_an_extra_input_may_be_written_with_either_sign(plan_of, word, key, value):
    """The first sign parts key and value."""
    assert plan_of(None, {}, extra_inputs=[word]).endpoint.extra_inputs == {key: value}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"endpoint_type": "embeddings", "streaming": True}, "never in a stream"),
        ({"isl_block_size": 16}, "mooncake_trace"),
        ({"endpoint_type": "raw"}, "expected raw_payload or inputs_json"),
        ({"custom_dataset_type": "raw_payload", "input_file": "."}, "expected the endpoint raw"),
        ({"rankings_passages_mean": 3}, "synthetic_rankings only"),
    ],
)
def test_what_would_mean_nothing_is_refused(plan_of, flags, why):
    with pytest.raises(ConfigError, match=why):
        plan_of(None, {}, **flags)


def test_every_refused_flag_is_spelled_whole():
    assert [name for name in UNSUPPORTED if not name.startswith("-") or name.endswith("-")] == []
