"""Works in children of one process: each ends in its own way, and is told of."""

import json
import signal
import subprocess
import sys
import time

import pytest

from steelyard.runtime.process import sample_process

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from steelyard.kernel.errors import UsageError
from steelyard.runtime.track.sidecar import in_children

def refused():
    raise UsageError("somebody else is at it")

def crashed():
    os.kill(os.getpid(), signal.SIGSEGV)

def done():
    print("delivered all")
    return True

works = {"done": done, "short": lambda: False, "refused": refused, "crashed": crashed}
ended = []
found = in_children(works, lambda label: Path(f"{label}.log"), ended.append)
print(json.dumps({"found": found, "ended": sorted(ended)}))
"""

WAITING = """
import time
from pathlib import Path
from steelyard.runtime.track.sidecar import in_children

def wait():
    Path("began").write_text(str(__import__("os").getpid()))
    time.sleep(60)

in_children({"one": wait}, lambda label: Path(f"{label}.log"), print)
"""


def is_gone(pid):
    """Tell whether a process has ended, whether or not somebody has asked for its exit code."""
    sample = sample_process(pid)
    return sample is None or sample.state == "Z"


def test_each_child_ends_in_its_own_way_and_its_words_are_kept(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, text=True, capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["found"] == {"done": True, "short": False, "refused": False, "crashed": False}
    assert told["ended"] == ["crashed", "done", "refused", "short"]
    logs = {path.stem: path.read_text() for path in tmp_path.glob("*.log")}
    assert logs["done"] == "delivered all\n"
    assert logs["short"] == ""
    assert "somebody else is at it" in logs["refused"]
    assert "killed by SIGSEGV" in logs["crashed"]


def test_children_end_with_the_process_that_forked_them(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", WAITING], cwd=tmp_path)
    began = tmp_path / "began"
    deadline = time.monotonic() + 100
    while not (began.exists() and began.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(began.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while not is_gone(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_gone(child)
