"""Lines of JSON: strict JSON, and whole lines after a crash."""

import json
import math

import pytest

from steelyard.builtin.backend.jsonl import JsonlBackend
from steelyard.domain.track.events import Metric, Params, RunEnded
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import facts, points


def refuse(word):
    raise AssertionError(f"{word} in JSON")


def test_a_file_goes_on_behind_its_last_whole_line(tmp_path):
    backend = JsonlBackend(str(tmp_path))
    reference = backend.open(facts())
    backend.log(points(4))
    backend.close(None)
    file = tmp_path / facts().run_id / "events.jsonl"
    file.write_bytes(file.read_bytes() + b'{"kind": "met')
    again = JsonlBackend(str(tmp_path / "elsewhere"))
    assert again.open(facts(reference)) == reference
    again.log(points(2, first=4))
    again.close(RunEnded(status="finished"))
    kinds = [json.loads(line)["kind"] for line in file.read_text().splitlines()]
    assert kinds == ["start", *["metric"] * 6, "end"]


def test_every_line_is_json_whatever_the_number(tmp_path):
    backend = JsonlBackend(str(tmp_path))
    backend.open(facts())
    backend.log([
        Metric(name="m", value=math.nan, step=0, wall_ns=1),
        Params(values={"p": math.inf, "q": [1, None]}, wall_ns=1),
    ])  # fmt: skip
    backend.close(None)
    text = (tmp_path / facts().run_id / "events.jsonl").read_text()
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert (lines[1]["value"], lines[1]["non_finite"]) == (None, "nan")
    assert lines[2]["values"]["p"] == {"value": None, "non_finite": "+inf"}


def test_it_must_be_open_to_log(tmp_path):
    with pytest.raises(PluginError, match="not open"):
        JsonlBackend(str(tmp_path)).log(points(1))
