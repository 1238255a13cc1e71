"""A stranger's plugin is tried in a process of its own; nothing it does there reaches us."""

import re
import time

import pytest

from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.plugin_probe import probe
from steelyard.runtime.process import sample_process

UI = """
class Ui:
    def update(self, stats, live): ...
    def close(self): ...
"""


@pytest.fixture
def try_out(tmp_path):
    def run(before="", timeout_s=60.0, target="trial:Ui", **facts):
        (tmp_path / "trial.py").write_text(before + UI)
        spec = PluginSpec(
            kind="ui", name="trial", target=target, location=str(tmp_path), origin="d", **facts
        )
        return probe(spec, timeout_s=timeout_s)

    return run


def test_a_good_plugin_is_validated(try_out):
    result = try_out()
    assert (result.state, result.why, result.printed) == ("validated", "", "")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import os; os._exit(9)\n", "ended the process while being imported (exit status 9)"),
        ("raise SystemExit\n", "SystemExit"),
        ("import absent_module\n", "No module named 'absent_module'"),
    ],
)
def test_a_plugin_that_fails_on_import_says_how(try_out, before, said):
    result = try_out(before)
    assert result.state == "failed"
    assert said in result.why


def test_a_plugin_that_hangs_is_killed_with_what_it_started(try_out, tmp_path):
    before = (
        "import subprocess, time, pathlib\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(100)\n"
    )
    for timeout_s in (2.0, 8.0, 32.0):  # a slow machine may take longer to come that far
        began = time.monotonic()
        result = try_out(before, timeout_s=timeout_s)
        if (tmp_path / "pid").exists():
            break
    assert time.monotonic() - began < 60, "neither slept out"
    assert result.why == f"did not finish importing within {timeout_s:g} s and was killed"
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


def is_running(pid):
    sample = sample_process(pid)
    return sample is not None and sample.state != "Z"


def test_prints_are_caught_even_from_below_python(try_out):
    result = try_out("import os; print('from python'); os.write(1, b'from below\\n')\n")
    assert result.state == "validated"
    assert set(result.printed.splitlines()) == {"from python", "from below"}
    assert result.notes[0].startswith("printed on import: ")


def test_a_sleep_on_import_is_measured(try_out):
    result = try_out("import time; time.sleep(1.2)\n")
    assert result.state == "validated"
    (note,) = result.notes
    assert re.fullmatch(r"took \d+\.\d s to import", note)
    assert float(note.split()[1]) >= 1.2


def test_a_class_that_is_not_there_is_named(try_out):
    assert "trial has no class 'Gui'" in try_out(target="trial:Gui").why


def test_a_wrong_config_schema_is_told(try_out):
    result = try_out(config_schema={"a": {"type": "strng"}})
    assert result.state == "failed"
    assert "a.type" in result.why
