"""`steelyard config`: what it writes it accepts, and what it prints machines can read."""

import json

import jsonschema
import pytest
import yaml


def test_a_written_file_has_no_mistakes_and_is_not_overwritten(steelyard, tmp_path):
    assert steelyard("config", "init", "a.yaml")[0] == 0
    code, out, _ = steelyard("config", "validate", "a.yaml")
    assert (code, out.splitlines()) == (0, [
        "a.yaml: no mistakes (2 phases).",
        "  warmup (warm-up): closed loop of 4; ends after 4 requests",
        "  profiling: closed loop of 4; ends after 40 requests",
    ])  # fmt: skip
    (tmp_path / "a.yaml").write_text("mine")
    code, _, err = steelyard("config", "init", "a.yaml")
    assert code == 2
    assert "--force" in err
    assert (tmp_path / "a.yaml").read_text() == "mine"
    assert steelyard("config", "init", "a.yaml", "--force")[0] == 0


def test_validate_tells_three_mistakes_with_their_lines(steelyard, tmp_path):
    (tmp_path / "a.yaml").write_text("endpoint: {type: chatt}\nload: {concurrency: x}\nui: 5\n")
    code, out, err = steelyard("config", "validate", "a.yaml")
    assert (code, out) == (2, "")
    lines = [line.strip().split(": ")[0] for line in err.splitlines()[1:]]
    assert lines == ["a.yaml:1:18", "a.yaml:2:21", "a.yaml:3:5"]


def test_what_expand_prints_is_valid_and_holds_the_flags(steelyard, tmp_path):
    steelyard("config", "init", "a.yaml")
    code, out, _ = steelyard("config", "expand", "a.yaml", "--concurrency", "9", "-m", "z")
    assert code == 0
    expanded = yaml.safe_load(out)
    assert expanded["models"] == ["z"]
    assert expanded["phases"][1]["concurrency"] == 9
    (tmp_path / "b.yaml").write_text(out)
    assert steelyard("config", "validate", "b.yaml")[0] == 0
    assert steelyard("config", "expand", "b.yaml")[1] == out


def test_the_schema_accepts_the_written_file_and_refuses_a_stranger(steelyard):
    schema = json.loads(steelyard("config", "schema")[1])
    starter = yaml.safe_load(steelyard("config", "init", "-")[1])
    jsonschema.validate(starter, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**starter, "stranger": 1}, schema)


def test_a_directory_is_no_configuration_and_init_would_not_help(steelyard, tmp_path):
    code, _, err = steelyard("config", "validate", str(tmp_path))
    assert code == 2
    assert "Is a directory" in err
    assert "config init" not in err
