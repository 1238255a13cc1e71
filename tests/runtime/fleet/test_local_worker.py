"""A worker outlives the processes that carry its attempts out, in whatever order they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.domain.fleet.model import Ending, Lease, TaskSpec
from steelyard.runtime.fleet import local_worker
from steelyard.runtime.fleet.local_messages import Ended, FromWorker, Setup, ToWorker
from steelyard.runtime.pipe_frames import Frames

TWO_END = """
import os, signal
from steelyard.runtime.fleet.local_messages import Setup, ToWorker
from steelyard.runtime.fleet.local_processes import adopt_orphans
from steelyard.runtime.fleet.local_worker import LocalWorker
from steelyard.runtime.pipe_frames import Frames

adopt_orphans()
worker = LocalWorker(Setup(worker_id="w", mark="", directory="/"), None, 0, 1, Frames(ToWorker))
old, killed = worker._fork(), worker._fork()
old.let_go()  # as after its last attempt
os.kill(killed.pid, signal.SIGKILL)
for runner in (old, killed):
    os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOWAIT)
while len(worker._selector.get_map()):
    for key, _ in worker._selector.select(5):
        key.data()
print("both were heard of")
"""


def test_a_process_that_was_let_go_is_not_taken_for_an_orphan_of_another():
    """The worker itself waits for it: it would have died of finding it gone, with all it runs."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_END], timeout=30, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "both were heard of\n"), done.stderr


class Kinds:
    """A plugin host with one kind of tasks, that is never asked."""

    def create(self, kind, name):
        return object()


def test_an_attempt_for_which_there_is_no_process_leaves_no_file_open(monkeypatch):
    def no_more():
        raise BlockingIOError("no more processes")

    read, write = os.pipe()
    worker = local_worker.LocalWorker(
        Setup(worker_id="w", mark="", directory="/"), Kinds(), 0, write, Frames(ToWorker)
    )
    monkeypatch.setattr(local_worker.os, "fork", no_more)
    before = len([*Path("/proc/self/fd").iterdir()])
    for token in range(3):
        lease = Lease(task_id="t", worker_id="w", attempt=1, token=token)
        worker._start(lease, TaskSpec(task_id="t", kind="command"))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    said = list(Frames(FromWorker).feed(os.read(read, 65_536)))
    assert [(type(each), each.outcome.ending) for each in said] == [(Ended, Ending.REFUSED)] * 3
    for fd in (read, write):
        os.close(fd)


GARBLES = """
import contextlib, os, sys, time
from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.runtime.fleet import local_worker
from steelyard.runtime.fleet.local_messages import Ended, FromWorker, Setup, Started, ToWorker
from steelyard.runtime.fleet.local_processes import adopt_orphans, end_orphans
from steelyard.runtime.pipe_frames import Frames, frame_of

GARBLED = b"\\0\\0\\0\\1\\xc1 and more"

def be_runner(setup, kind, control_fd, report_fd):
    token = local_worker.Control(control_fd).next().lease.token
    if token == 2:
        os.write(report_fd, frame_of(Started(token, os.getpid())))
    elif os.fork() > 0:  # a child, which holds both pipes open
        ended = frame_of(Ended(token, Outcome(ending=Ending.SUCCEEDED)))
        os.write(report_fd, GARBLED if sys.argv[1] == "busy" else ended + GARBLED)
    time.sleep(60)
    os._exit(0)

class Kinds:
    def create(self, kind, name):
        return object()

def start(token):
    lease = Lease(task_id=f"t{token}", worker_id="w", attempt=1, token=token)
    worker._start(lease, TaskSpec(task_id=f"t{token}", kind="command"))

def until_said(token):
    end_s = time.monotonic() + 20
    while token not in said and time.monotonic() < end_s:
        for key, _ in worker._selector.select(0.1):
            key.data()
        with contextlib.suppress(BlockingIOError):
            said.update((each.token, each) for each in frames.feed(os.read(read, 65_536)))
    return said[token]

adopt_orphans()
local_worker._be_runner = be_runner
read, write = os.pipe()
os.set_blocking(read, False)
setup = Setup(worker_id="w", mark="", directory="/")
worker = local_worker.LocalWorker(setup, Kinds(), 0, write, Frames(ToWorker))
frames, said = Frames(FromWorker), {}
try:
    if sys.argv[1] == "busy":
        start(2)
        until_said(2)
    start(1)
    outcome = until_said(1).outcome
    if sys.argv[1] == "idle":
        start(2)
        until_said(2)
    print(outcome.ending, outcome.error.partition(" (")[0], list(worker._runners))
finally:
    end_orphans()
"""


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("busy", "lost the attempt's own process ended: it said what is no message [2]\n"),
        ("idle", "succeeded  [2]\n"),
    ],
)
def test_a_process_that_says_what_is_no_message_is_ended_and_no_other(when, said):
    """As one does in which a kind of tasks writes where it should not, or what that forked."""
    done = subprocess.run(
        [sys.executable, "-c", GARBLES, when],
        timeout=60, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, said), done.stderr
