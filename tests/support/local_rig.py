"""A local engine that runs for a block, and what a test asks of it."""

import asyncio
import os
import signal
import time
from pathlib import Path

from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.requirements import Requirements
from steelyard.runtime.fleet.attempt_logs import attempt_directory
from steelyard.runtime.fleet.local_engine import LocalEngine
from steelyard.runtime.fleet.local_processes import marked


def alive(pid):
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def parent_of(pid):
    """Return a process's parent, 0 for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def gone(pids, within_s=30.0):
    """Wait for processes to end; return those that did not.

    Not as long as they would last by themselves: tests have them sleep for a minute.
    """
    end_s = time.monotonic() + within_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < end_s:
        time.sleep(0.01)
    return left


def processes_of(directory, task_id):
    """Return the processes of a task of the engine in a directory, not of another test's."""
    mine = marked(f"{directory}#")
    return sorted(set(mine) & set(marked(task_id, "STEELYARD_FLEET_TASK")))


def keeper_of(directory, task_id):
    """Return the process that carries a task out."""
    mine = processes_of(directory, task_id)
    (keeper,) = {parent_of(pid) for pid in mine} - {0, *mine}
    return keeper


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)


class LocalRig:
    """The engine of a directory; takes its events as they come."""

    def __init__(self, directory, **options):
        defaults = {"slots": 4, "detect": False, "heartbeat_s": 0.2}
        self.directory = Path(directory)
        self.engine = LocalEngine(directory=str(directory), **(defaults | options))
        self.events, self.workers, self.token = [], [], 0

    async def __aenter__(self):
        self.workers = await self.engine.start()
        self.listening = asyncio.create_task(self.listen())
        return self

    async def __aexit__(self, *_):
        self.listening.cancel()
        await asyncio.gather(self.listening, return_exceptions=True)
        await self.engine.stop()

    async def listen(self):
        while True:
            self.events.append(await self.engine.next_event())

    async def submit(self, shell=None, kind="command", payload=None, worker=None, **fields):
        self.token += 1
        needs = fields.pop("needs", {})
        name = fields.pop("task_id", f"t{self.token}")
        lease = Lease(
            task_id=name, worker_id=worker or self.workers[0][0], attempt=1, token=self.token
        )
        spec = TaskSpec(
            task_id=name, kind=kind, payload=payload or {"shell": shell},
            requirements=Requirements(**needs), **fields,
        )  # fmt: skip
        await self.engine.submit(lease, spec)
        return lease

    def attempt(self, lease):
        return attempt_directory(self.directory, lease.task_id, lease.attempt, lease.token)

    def said(self, kind, lease=None):
        return [e for e in self.events if e.kind == kind and lease in (None, e.lease)]

    async def until(self, condition, within_s=60.0):
        async with asyncio.timeout(within_s):
            while not (value := condition()):
                await asyncio.sleep(0.005)
        return value

    async def outcome(self, lease, within_s=100.0):
        await self.until(lambda: self.said("ended", lease), within_s)
        return self.said("ended", lease)[0].outcome

    async def run(self, shell=None, **more):
        return await self.outcome(await self.submit(shell, **more))

    async def pids(self, lease, name="pids"):
        """Return the process ids that an attempt wrote into a file of its directory."""
        file = self.attempt(lease) / "work" / name
        await self.until(lambda: file.exists() and file.read_text().endswith("\n"))
        return [int(word) for word in file.read_text().split()]
