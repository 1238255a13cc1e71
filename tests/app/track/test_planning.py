"""Which mirrors a run will have."""

import pytest

from steelyard.app.track.planning import planned
from steelyard.kernel.errors import PluginError, UsageError


def test_a_run_without_backends_has_no_mirrors():
    assert planned(None, None) is None
    assert planned("local", None) is None


def test_the_environment_names_backends_where_the_script_names_none(monkeypatch):
    monkeypatch.setenv("STEELYARD_TRACK_BACKENDS", "jsonl")
    assert planned(None, None) is not None
    assert planned("local", None) is None
    monkeypatch.setenv("STEELYARD_TRACK_BACKENDS", "jsonnl")
    with pytest.raises(PluginError, match="Did you mean 'jsonl'"):
        planned(None, None)


def test_a_wrong_rule_is_told_before_the_run_begins():
    with pytest.raises(UsageError, match="no routing rule"):
        planned("jsonl", [{"naem": "x"}])


@pytest.mark.parametrize(
    ("backend", "routing", "words"),
    [
        ({"jsonl": {"sample": {"every": 0}}}, None, "'jsonl' makes no sense: every must be 1"),
        ({"jsonl": {"sample": {"evry": 2}}}, None, "unknown field `evry`"),
        ("jsonl", [{"to": "*", "sample": {"interval_s": -1}}], "interval_s must be"),
        ("jsonl", [{"to": "*", "type": "metric"}], "types are scalar, parameter"),
        ("jsonl", [{"to": "*", "sample": {"keep": "median"}}], "Invalid enum value 'median'"),
    ],
)
def test_a_wrong_sampling_is_told_before_the_run_begins(backend, routing, words):
    with pytest.raises(UsageError, match=words):
        planned(backend, routing)


def test_a_rule_for_a_mirror_that_is_not_there_is_told(caplog):
    """Nobody would be told what it matches. It may be meant for another day, so it is no error."""
    routing = [{"to": ["jsnl", "json*"], "name": "a"}, {"to": [], "name": "b"}]
    assert planned("jsonl", routing) is not None
    (record,) = caplog.records
    assert "for 'jsnl'" in record.getMessage()
    assert "Did you mean 'jsonl'?" in record.getMessage()
