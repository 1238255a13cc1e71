"""A plan makes sense in a pod, or it is said what it needs that no pod has."""

import pytest
import yaml

from steelyard.app.kubernetes import carrying
from steelyard.app.kubernetes.carrying import CONFIG_MAP_MAX_BYTES, carry, to_yaml
from steelyard.kernel.errors import UsageError


def plan_in(carried):
    return yaml.safe_load(carried.files["plan.yaml"])


def test_the_artifacts_are_where_a_volume_is(plan_of):
    """Whatever directory of this machine was named; the store of runs lies beside them."""
    plan = plan_in(carry(plan_of(artifact_dir="here", track="local", track_dir="there")))
    assert plan["output"]["artifact_dir"] == "/artifacts/run"
    assert plan["track"]["directory"] == "/artifacts/tracked"


def test_files_are_carried_and_found_by_their_new_names(plan_of, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"text": "hello"}\n')
    (tmp_path / "ca.pem").write_text("a certificate")
    carried = carry(plan_of(input_file="prompts.jsonl", ca_file="ca.pem"))
    assert carried.files["input/prompts.jsonl"] == b'{"text": "hello"}\n'
    assert plan_in(carried)["input"]["file"] == "/etc/steelyard/input/prompts.jsonl"
    assert plan_in(carried)["endpoint"]["ca_file"] == "/etc/steelyard/ca/ca.pem"


def test_a_directory_is_carried_with_all_of_its_files(plan_of, tmp_path):
    pool = tmp_path / "pool"
    (pool / "deep").mkdir(parents=True)
    for name in ("a.jsonl", "deep/b.jsonl"):
        (pool / name).write_text('{"text": "x"}\n')
    carried = carry(plan_of(input_file="pool", custom_dataset_type="random_pool"))
    assert set(carried.files) == {"plan.yaml", "input/a.jsonl", "input/deep/b.jsonl"}
    assert plan_in(carried)["input"]["file"] == "/etc/steelyard/input"


def test_a_template_is_carried_as_text(plan_of, tmp_path):
    """A template is read where no link leads to it, and a ConfigMap's files are links."""
    body = '{"prompt": {{ text|tojson }}}'
    (tmp_path / "body.jinja").write_text(body)
    plan = plan_of(endpoint_type="template", extra_inputs="payload_template:body.jinja")
    assert plan_in(carry(plan))["endpoint"]["extra_inputs"]["payload_template"] == body
    assert plan.endpoint.extra_inputs["payload_template"] == "body.jinja"


def test_secrets_are_names(plan_of):
    environ = {"STEELYARD_API_KEY": "sekret", "TOKEN": "sekret", "OTHER": "sekret"}
    carried = carry(plan_of(environ, header="X-Token:${TOKEN}"))
    assert carried.variables == ("STEELYARD_API_KEY", "TOKEN")
    assert b"sekret" not in b"".join(carried.files.values())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1", "unix:/run/x.sock"]
)
def test_a_server_of_this_machine_is_none_of_a_pod(plan_of, url):
    with pytest.raises(UsageError, match="the pod itself"):
        carry(plan_of(url=url))


def test_the_simulated_server_is_none_either(plan_of):
    with pytest.raises(UsageError, match="need the URL of a server"):
        carry(plan_of(url=None))


def test_plugins_of_a_directory_belong_into_the_image(plan_of, tmp_path):
    (tmp_path / "plugins").mkdir()
    with pytest.raises(UsageError, match="no plugin directories"):
        carry(plan_of(plugin_dir="plugins"))


def test_more_than_a_config_map_takes_is_refused(plan_of, tmp_path):
    line = b'{"text": "hello"}\n'
    file = tmp_path / "large.jsonl"
    file.write_bytes(line * (CONFIG_MAP_MAX_BYTES // len(line)))
    with pytest.raises(UsageError, match="don't fit into a ConfigMap") as caught:
        carry(plan_of(input_file="large.jsonl"))
    assert "input/large.jsonl" in str(caught.value)
    assert "1048576" in str(caught.value)
    file.write_bytes(line * (CONFIG_MAP_MAX_BYTES // len(line) - 200))
    carry(plan_of(input_file="large.jsonl"))


def test_what_would_be_filled_there_is_refused(plan_of):
    with pytest.raises(UsageError, match="environment variable in the cluster") as caught:
        carry(plan_of(extra_inputs="word:${HOME}"))
    assert "endpoint.extra_inputs.word" in str(caught.value)


def test_yaml_keeps_texts_and_says_things_twice_instead_of_by_reference():
    shared = {"a": "yes"}
    text = to_yaml({"one": shared, "two": shared, "text": "first\nsecond\n"})
    assert "&" not in text
    assert "text: |\n  first\n  second\n" in text
    assert yaml.safe_load(text) == {"one": shared, "two": shared, "text": "first\nsecond\n"}


def test_no_more_of_a_directory_is_read_than_could_be_carried(plan_of, tmp_path, monkeypatch):
    """It may be all pictures there are: what is too much is too much after a megabyte."""
    (tmp_path / "pool").mkdir()
    for number in range(20):
        (tmp_path / "pool" / f"{number:02}.jsonl").write_bytes(b"x" * 400_000)
    read = []
    whole = carrying._read
    monkeypatch.setattr(carrying, "_read", lambda path: read.append(path) or whole(path))
    with pytest.raises(UsageError, match="don't fit into a ConfigMap"):
        carry(plan_of(input_file="pool", custom_dataset_type="random_pool"))
    assert len(read) == 3
