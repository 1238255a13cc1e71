"""How a script ended is how its run ended, also where only the interpreter knows."""

import subprocess
import sys
import textwrap

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.queries import show

SCRIPT = """
import contextlib, sys, threading
from steelyard.track import start_logging
experiment = start_logging("e", run_id="r")
def leave(code):
    sys.exit(code)
"""


@pytest.mark.parametrize(
    ("ending", "code", "status", "error"),
    [
        ("pass", 0, "finished", (None, None)),
        ("leave(0)", 0, "finished", (None, None)),
        ("leave(None)", 0, "finished", (None, None)),
        ("leave(3)", 3, "failed", ("SystemExit", "3")),
        ("leave('no data')", 1, "failed", ("SystemExit", "no data")),
        ("raise ValueError('boom')", 1, "failed", ("ValueError", "boom")),
        ("try:\n    leave(3)\nexcept SystemExit:\n    print('on')", 0, "finished", (None, None)),
        ("try:\n    leave(3)\nfinally:\n    print('on')", 3, "failed", ("SystemExit", "3")),
        ("with contextlib.ExitStack():\n    leave(3)", 3, "failed", ("SystemExit", "3")),
        ("t = threading.Thread(target=leave, args=(3,)); t.start(); t.join()", 0, "finished",
         (None, None)),
        ("import argparse; argparse.ArgumentParser().parse_args(['--x'])", 2, "failed",
         ("SystemExit", "2")),
    ],
)  # fmt: skip
def test_a_script_that_never_stops_its_run_ends_it_as_it_ended(
    tmp_path, ending, code, status, error
):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(ending)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    run = show("r")
    assert (run["status"], (run["error_type"], run["error_message"])) == (status, error)
    if "Thread" in ending:
        assert done.stderr == ""


def test_sys_exit_is_what_it_was_when_no_run_goes_on():
    before = sys.exit
    with Experiment("outer"):
        with Experiment("inner"):
            assert sys.exit is not before
            with pytest.raises(SystemExit) as left:
                sys.exit(3)
        assert sys.exit is not before
    assert sys.exit is before
    assert (left.value.code, repr(left.value)) == (3, "SystemExit(3)")


def test_somebody_elses_patch_stays():
    before = sys.exit

    def theirs(status=None):
        raise SystemExit(9)

    try:
        sys.exit = theirs
        with Experiment("e"), pytest.raises(SystemExit) as left:
            sys.exit(3)
        assert (left.value.code, sys.exit) == (9, theirs)
        with Experiment("e"):
            sys.exit = before
        assert sys.exit is before
    finally:
        sys.exit = before
