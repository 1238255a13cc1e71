"""`steelyard plugins`: what is installed, why something can't be used, and a way to begin."""

import json
import os
import subprocess
import sys

import pytest

from steelyard.plugins.states import PluginState

UI = """
class Ui:
    plugin = {{"kind": "ui", "name": "{name}"{more}}}
    def update(self, stats, live): ...
    def close(self): ...
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """A test runner may itself have said how wide the terminal is."""
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def plugin_dir(tmp_path, monkeypatch):
    """Return a function that writes a plugin file into a directory that Steelyard searches."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(directory))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name, before="", more=""):
        (directory / f"{name}.py").write_text(before + UI.format(name=name, more=more))

    return write


def rows(out):
    return {(row["kind"], row["name"]): row for row in json.loads(out)}


def test_the_table_lists_kind_name_origin_and_state(steelyard):
    code, out, _ = steelyard("plugins")
    assert code == 0
    header, *lines = out.splitlines()
    assert header.split() == ["KIND", "NAME", "ORIGIN", "STATE", "NOTE"]
    assert not [line for line in lines if line != line.rstrip()]
    assert ["endpoint", "chat", "builtin", "discovered"] in [line.split() for line in lines]


def test_one_kind_is_listed_in_any_spelling(steelyard):
    code, out, _ = steelyard("plugins", "--kind", "endpoints", "--json")
    assert code == 0
    assert {kind for kind, _ in rows(out)} == {"endpoint"}


def test_an_unknown_kind_is_a_plugin_error_with_a_suggestion(steelyard):
    code, _, err = steelyard("plugins", "--kind", "endpiont")
    assert code == 3
    assert "Did you mean 'endpoint'?" in err


def test_listing_runs_no_plugin(steelyard, plugin_dir):
    """Not even one that would hang."""
    plugin_dir("hangs", before="import time; time.sleep(600)\n")
    code, out, _ = steelyard("plugins", "--json")
    assert code == 0
    assert rows(out)["ui", "hangs"]["state"] == "discovered"


def test_a_missing_requirement_comes_with_its_install_line(steelyard, plugin_dir):
    plugin_dir("needy", more=', "requires": ["absent-sdk>=2"]')
    _, out, _ = steelyard("plugins", "--kind", "ui")
    (line,) = [line for line in out.splitlines() if "needy" in line]
    assert "missing requirement" in line
    assert "absent-sdk>=2 is not installed" in line
    assert "pip install 'absent-sdk>=2'" in line


def test_a_narrow_terminal_gets_lines_that_fit(steelyard, plugin_dir, monkeypatch):
    plugin_dir("needy", more=', "requires": ["absent-sdk>=2"]')
    monkeypatch.setenv("COLUMNS", "50")
    _, out, _ = steelyard("plugins", "--kind", "ui")
    assert all(len(line) <= 50 for line in out.splitlines())
    assert "ui needy: missing requirement" in out
    assert "pip install 'absent-sdk>=2'" in out


def test_show_tells_class_options_and_methods(steelyard):
    code, out, _ = steelyard("plugins", "show", "chat")
    assert code == 0
    assert "endpoint chat: OpenAI chat completions" in out
    assert "class: steelyard.builtin.endpoint.chat:ChatEndpoint" in out
    assert "methods: build(history, context), read_event(data), read_body(body)" in out
    assert "endpoint_path: /v1/chat/completions" in out


def test_show_of_an_unknown_name_suggests_one(steelyard):
    code, _, err = steelyard("plugins", "show", "chta")
    assert code == 3
    assert "There is no plugin 'chta'. Did you mean 'chat'?" in err


def test_show_says_that_a_plugin_was_not_tried_and_who_tries_it(steelyard, plugin_dir):
    plugin_dir("raises", before="raise RuntimeError('no luck')\n")
    code, out, _ = steelyard("plugins", "show", "raises")
    assert code == 0
    assert "  state: discovered (not tried yet)\n" in out
    assert "  to try it: steelyard plugins doctor\n" in out
    assert "to try it" not in steelyard("plugins", "show", "chat")[1]


def test_a_directory_may_be_named_on_the_command_line(steelyard, plugin_dir, monkeypatch, tmp_path):
    """As in `profile`: repeated, for the list, `show` and `doctor`."""
    plugin_dir("mine")
    monkeypatch.delenv("STEELYARD_PLUGIN_DIRS")
    (tmp_path / "other").mkdir()
    dirs = ["--plugin-dir", str(tmp_path / "other"), "--plugin-dir", str(tmp_path / "plugins")]
    assert ("ui", "mine") not in rows(steelyard("plugins", "--json")[1])
    assert ("ui", "mine") in rows(steelyard("plugins", "--json", *dirs)[1])
    assert "ui mine" in steelyard("plugins", "show", "mine", *dirs)[1]
    found = rows(steelyard("plugins", "doctor", "--json", "--timeout", "90", *dirs)[1])
    assert found["ui", "mine"]["state"] == PluginState.VALIDATED


def test_doctor_names_the_broken_and_shows_the_good(steelyard, plugin_dir):
    """Raise, exit and print on import: each has its sentence, and the good one is fine."""
    plugin_dir("good")
    plugin_dir("raises", before="raise RuntimeError('no luck')\n")
    plugin_dir("exits", before="import os; os._exit(5)\n")
    plugin_dir("prints", before="print('hello there')\n")
    code, out, _ = steelyard("plugins", "doctor", "--json", "--timeout", "90")
    found = rows(out)
    assert code == 3
    assert found["ui", "good"]["state"] == PluginState.VALIDATED
    assert found["ui", "prints"]["notes"] == ["printed on import: 'hello there'"]
    whys = {name: found["ui", name]["why"] for name in ("raises", "exits")}
    assert "RuntimeError: no luck" in whys["raises"]
    assert whys["exits"] == "ended the process while being imported (exit status 5)"
    strangers = [row for row in found.values() if row["origin"] == "builtin"]
    assert all(row["state"] in ("validated", "missing requirement") for row in strangers)


def test_doctor_waits_for_one_that_hangs_no_longer_than_asked(steelyard, plugin_dir):
    plugin_dir("hangs", before="import time; time.sleep(600)\n")
    code, out, _ = steelyard("plugins", "doctor", "--json", "--timeout", "1")
    assert code == 3
    why = rows(out)["ui", "hangs"]["why"]
    assert why == "did not finish importing within 1 s and was killed"


def test_doctor_says_at_the_end_who_is_broken(steelyard, plugin_dir):
    plugin_dir("raises", before="raise RuntimeError('no luck')\n")
    code, out, _ = steelyard("plugins", "doctor", "--timeout", "90")
    assert code == 3
    assert "1 broken" in out
    assert out.splitlines()[-1].startswith("broken: ui 'raises' (directory ")


def test_doctor_is_content_when_all_is_well(steelyard, plugin_dir):
    """A requirement that its user has not installed is no fault of the plugin."""
    plugin_dir("needy", more=', "requires": ["absent-sdk>=2"]')
    code, out, _ = steelyard("plugins", "doctor")
    assert code == 0
    assert "0 broken" in out


def test_new_writes_a_package_that_installs_and_passes_its_tests(steelyard, tmp_path, monkeypatch):
    """The taste test: a stranger's endpoint, below 80 lines, with the contract's tests."""
    code, out, _ = steelyard("plugins", "new", "endpoint", "hello")
    assert code == 0
    root = tmp_path / "steelyard-hello"
    assert f"pip install -e {root}" in out
    source = root / "src" / "steelyard_hello" / "plugin.py"
    assert len(source.read_text().splitlines()) < 80
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    pip += ["--disable-pip-version-check", "--no-index", "--target", str(site), str(root)]
    subprocess.run(pip, check=True, timeout=100)
    environ = {**os.environ, "PYTHONPATH": str(site)}
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(root / "tests")]
    done = subprocess.run(
        suite, capture_output=True, text=True, env=environ, cwd=root, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "arning" not in done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(site))
    _, listed, _ = steelyard("plugins", "--kind", "endpoint", "--json")
    origin = rows(listed)["endpoint", "hello"]["origin"]
    assert origin == "entry point hello (steelyard-hello 0.1.0)"
    code, _, _ = steelyard("plugins", "doctor", "--timeout", "90")
    assert code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["endpiont", "hello"], 3, "Did you mean 'endpoint'?"),
        (["endpoint", "Hello World"], 2, "expected lower-case words"),
        (["endpoint", "hello", "--style", "tracelet"], 2, "can't be written in the style of"),
        (["backend", "hello", "--style", "traclet"], 2, "Did you mean 'tracelet'?"),
    ],
)
def test_new_refuses_what_it_can_not_write(steelyard, tmp_path, words, code, said):
    got, _, err = steelyard("plugins", "new", *words)
    assert got == code
    assert said in err
    assert not list(tmp_path.iterdir())


def test_new_overwrites_nothing(steelyard):
    assert steelyard("plugins", "new", "ui", "mine")[0] == 0
    code, _, err = steelyard("plugins", "new", "ui", "mine")
    assert code == 2
    assert "is already there" in err
