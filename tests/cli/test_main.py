"""The command itself: its page, its exit codes, and what it says when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard import __version__
from steelyard.cli.commands import COMMANDS


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_alone_it_prints_a_page_that_names_every_command(steelyard, words):
    code, out, err = steelyard(*words)
    assert (code, err) == (0, "")
    assert all(f"  {command.name} " in out for command in COMMANDS)


def test_help_imports_neither_the_parser_nor_anything_heavy():
    program = (
        "import sys\nfrom steelyard.cli.main import run\nrun(['--help'])\n"
        "import json; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "pydantic", "duckdb", "cyclopts", "rich", "yaml", "asyncio", "msgspec"}
    assert heavy & set(json.loads(done.stderr)) == set()


def test_a_profile_command_line_loads_no_rich_before_it_runs():
    program = (
        "import sys\nfrom steelyard.cli.main import build_app\n"
        "build_app()['profile']\nsys.stderr.write(str('rich' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "False"


@pytest.mark.parametrize("words", [("--version",), ("version",)])
def test_the_version_is_printed(steelyard, words):
    code, out, _ = steelyard(*words)
    assert code == 0
    assert __version__ in out


def test_an_unknown_command_gets_a_suggestion_and_exit_code_2(steelyard):
    code, out, err = steelyard("profil")
    assert (code, out) == (2, "")
    assert "Unknown command 'profil'" in err
    assert "Did you mean 'profile'?" in err


def test_a_file_alone_is_run(steelyard, runs):
    Path("a.yaml").write_text("load: {concurrency: 3}")
    assert steelyard("--config", "a.yaml", "--run-type", "inline", "--log-level", "debug")[0] == 0
    assert steelyard("-f", "a.yaml")[0] == 0
    (first, _), (second, _) = runs
    assert (first.phases[0].concurrency, first.run_type, first.log_level) == (3, "inline", "DEBUG")
    assert second.run_type == "process"


def test_a_run_type_without_a_plan_shows_the_page_or_says_what_is_there(steelyard):
    assert steelyard("--run-type", "process")[0] == 0
    assert steelyard("--run-type", "k8s")[0] == 0
    code, _, err = steelyard("--run-type", "moon")
    assert code == 2
    assert "expected 'process', 'inline'" in err


def test_a_bug_ends_with_70_and_a_file_that_holds_the_traceback(steelyard, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("steelyard.cli.main.build_app", broken)
    code, out, err = steelyard("version")
    assert (code, out) == (70, "")
    assert "ZeroDivisionError: a bug" in err
    assert "Traceback" not in err
    path = Path(next(word for word in err.split() if "steelyard-bug-" in word).rstrip(";"))
    assert "in broken" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()


def test_an_interrupt_ends_with_130(steelyard, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("steelyard.cli.main.build_app", interrupted)
    assert steelyard("version")[0] == 130


def test_colours_stay_out_of_pipes_and_of_no_color(steelyard, monkeypatch):
    assert "\x1b" not in steelyard("profil")[2]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in steelyard("profil")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(steelyard, shell):
    code, out, _ = steelyard("completion", shell)
    assert code == 0
    assert "profile" in out


def test_completion_for_another_shell_is_refused(steelyard):
    code, _, err = steelyard("completion", "tcsh")
    assert code == 2
    assert "bash, zsh, fish" in err


def test_help_of_the_mock_shows_no_empty_defaults(steelyard):
    _, out, _ = steelyard("mock", "--help")
    assert "[default: ()]" not in out
    assert '[default: ""]' not in out
    assert "[default: 8000]" in out
    assert "--truth-log PATH" in out
