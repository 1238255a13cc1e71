"""A function that is called in a process of its own."""

import json
import subprocess
import sys

import pytest

from steelyard.runtime.fleet import attempt_call


@pytest.fixture
def called(tmp_path):
    def call(function, *args):
        (tmp_path / "theirs.py").write_text(
            "def outer(n):\n    return inner(n)\n"
            "def inner(n):\n    raise ValueError(f'no layer {n}')\n"
            "def leaves():\n    raise SystemExit(5)\n"
        )
        said = {"path": [str(tmp_path)], "function": function, "args": args, "kwargs": {}}
        (tmp_path / "call.json").write_text(json.dumps(said))
        return subprocess.run(
            [sys.executable, "-P", attempt_call.__file__], cwd=tmp_path, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    return call


def test_a_traceback_begins_in_the_tasks_own_code(called):
    done = called("theirs:outer", 7)
    assert done.returncode == 1
    assert "attempt_call" not in done.stderr
    assert done.stderr.index("in outer") < done.stderr.index("in inner")
    assert done.stderr.splitlines()[-1] == "ValueError: no layer 7"


def test_a_call_with_wrong_arguments_is_told_without_a_place(called):
    done = called("theirs:outer")
    assert done.returncode == 1
    assert done.stderr.startswith("TypeError: outer() missing 1 required")


def test_an_exit_keeps_its_code(called):
    assert called("theirs:leaves").returncode == 5
