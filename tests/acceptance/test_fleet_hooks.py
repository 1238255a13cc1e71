"""One run on real processes in which every hook fires; its trace is kept and can be looked at."""

import asyncio
import os
import signal
import sys

import pytest

from steelyard.fleet import HOOK_ARGUMENTS, Backoff, Coordinator, FleetSettings, Limits, TaskSpec

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
SOON = Backoff(first_s=0.1)


def sleeper(name, **more):
    payload = {"argv": ["/bin/sleep", "600"]}
    return TaskSpec(task_id=name, kind="command", payload=payload, backoff=SOON, **more)


def command(name, program):
    return TaskSpec(task_id=name, kind="command", payload={"argv": [program]})


class Watched:
    """A coordinator, and what its plugins hear, a line each."""

    def __init__(self, directory):
        self.fleet = Coordinator(
            FleetSettings(
                ledger=str(directory / "fleet.sqlite"),
                directory=str(directory / "files"),
                engines={"local": {"slots": 2, "heartbeat_s": 0.2, "detect": False}},
                limits=Limits(heartbeat_s=0.2, silent_s=1.0, lost_s=600.0),
            )
        )
        self.lines, self.names = [], []
        self.fleet.listen(self.hear)

    async def hear(self, event, arguments):
        shown = [str(a) if isinstance(a, (str, list, tuple)) else "..." for a in arguments]
        self.names.append(event)
        self.lines.append(f"{len(self.lines) + 1:3} {event}({', '.join(shown)})")

    async def heard(self, event, times=1):
        async with asyncio.timeout(60):
            while self.names.count(event) < times:
                await asyncio.sleep(0.02)

    async def worker(self):
        """Return the process id of the worker that lives."""
        (engine,) = self.fleet.engines.values()
        async with asyncio.timeout(60):
            while not engine.pids:
                await asyncio.sleep(0.02)
        return engine.pids["local"]


async def test_all_fifteen_hooks_fire_in_one_real_run(tmp_path, capsys):
    watched = Watched(tmp_path)
    fleet = watched.fleet
    async with fleet:
        await fleet.submit([command("well", "/bin/true"), command("badly", "/bin/false")])
        await fleet.ended(["well", "badly"])

        await fleet.submit([sleeper("unwanted")])
        await watched.heard("task_started", 3)
        await fleet.cancel("unwanted", "not needed any more")

        os.kill(await watched.worker(), signal.SIGSTOP)
        await watched.heard("worker_disconnected")
        os.kill(await watched.worker(), signal.SIGCONT)
        await watched.heard("worker_recovered")

        # The worker dies under two tasks: one may be lost once, the other never.
        await fleet.submit([sleeper("robust"), sleeper("frail", losses_max=0)])
        await watched.heard("task_started", 5)
        os.kill(await watched.worker(), signal.SIGKILL)
        await watched.heard("worker_failed")
        await watched.heard("recovery_failed")

        await watched.heard("task_started", 6)
        os.kill(await watched.worker(), signal.SIGKILL)
        await watched.heard("recovery_completed")
        assert await fleet.why("frail") == (
            (
                "It was set aside as a dead letter: lost 1 times, last: worker local: killed by "
                "SIGKILL."
            ),
            "attempt 1: worker local: killed by SIGKILL",
        )
        kept = [told.name for told in await fleet.events(limit=1000)]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(watched.lines) + "\n")
    assert set(watched.names) == {str(hook) for hook in HOOK_ARGUMENTS}
    assert watched.names[0] == "coordinator_startup"
    assert watched.names[: len(kept)] == kept, "plugins hear what the ledger has, in its order"
    assert watched.names[-1] == "coordinator_shutdown"
    assert watched.names.count("coordinator_shutdown") == 1
