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
