"""A worker outlives the processes that carry its attempts out, in whatever order they end."""

import os
import subprocess
import sys
from pathlib import Path

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
