"""Runs command lines in this process, with the run itself replaced by a recorder of its plan."""

import sys
from types import ModuleType

import pytest

from steelyard.cli.main import main


class Outcome:
    """What a run hands back to the command line."""

    exit_code = 0
    summary = None
    telling = None
    directory = "artifacts"
    failures: dict[str, str]  # by exporter

    def __init__(self):
        self.failures = {}

    def summary_json(self):
        return b'{"schema_version":"1.0"}'


@pytest.fixture
def steelyard(capsys, tmp_path, monkeypatch):
    """Return a function that runs `steelyard WORDS` and returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["steelyard", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def outcome():
    return Outcome()


@pytest.fixture
def runs(monkeypatch, outcome):
    """Record what `steelyard profile` would have run: plans and keys."""
    seen = []

    def run_profile(plan, *, api_key=None):
        seen.append((plan, api_key))
        return outcome

    module = ModuleType("steelyard.app.profile")
    module.run_profile = run_profile
    monkeypatch.setitem(sys.modules, "steelyard.app.profile", module)
    monkeypatch.setattr("steelyard.cli.result_page.print_result", lambda *_: None)
    return seen
