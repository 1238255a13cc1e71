"""Workers and attempts of a machine that are stopped, go on too late, or are killed at random."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest
from chaos_fleet import judge_tokens, report, said, sqlite_rows, task
from fleet_host import until
from local_rig import alive, gone, keeper_of, processes_of

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.domain.fleet.model import Backoff, Ending, Limits, TaskSpec
from steelyard.domain.fleet.requirements import Requirements
from steelyard.runtime.fleet.local_engine import LocalEngine

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
# A worker is lost after longer than a busy machine stands still.
LIMITS = Limits(heartbeat_s=0.2, silent_s=0.6, lost_s=8.0, grace_s=0.5)
KILLS = 25


class Heard(LocalEngine):
    """Remembers what it told of ends."""

    def __init__(self, directory, **options):
        given = {"workers": 2, "slots": 2, "heartbeat_s": 0.2, "detect": False} | options
        super().__init__(directory=str(directory), **given)
        self.ends = []

    async def next_event(self):
        event = await super().next_event()
        if event.kind == "ended":
            self.ends.append((event.lease.worker_id, event.lease.token, event.outcome.ending))
        return event


@pytest.fixture
async def fleet(tmp_path):
    engine = Heard(tmp_path / "files")
    settings = FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"), directory=str(tmp_path / "files"), engines={},
        limits=LIMITS,
    )  # fmt: skip
    async with Coordinator(settings, engines={"local": engine}) as fleet:
        fleet.engine = engine
        yield fleet
    assert not processes_of(tmp_path / "files", ""), "nothing is left"


def spec(name, seconds, place, **more):
    """Return a task whose first attempt takes some seconds, and later ones none."""
    given = task(name, f"$(mkdir {place}/{name} 2> /dev/null && echo {seconds} || echo 0)", place)
    more = {"backoff": Backoff(first_s=0.1, max_s=0.2), "losses_max": 100} | more
    return TaskSpec(task_id=name, kind="command", payload=given["payload"], **more)


def sleeps(pids):
    """Tell whether one of these processes is the program `sleep`."""
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                return True
    return False


async def test_a_worker_that_goes_on_after_its_lease_is_not_believed(fleet, tmp_path):
    """Under it, one attempt comes to its end unheard, one is stopped too and would go on."""
    files, engine = tmp_path / "files", fleet.engine
    await fleet.drain("local-1")
    # The first one's end waits until its worker can't hear it.
    held = f"$(until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo 0)"
    await fleet.submit([spec("short", held, tmp_path), spec("long", 600, tmp_path)])
    await until(lambda: len(said(tmp_path / "begun")) == 2)
    await fleet.drain("local-1", on=False)
    worker, first = engine.pids["local-0"], said(tmp_path / "begun")["short"][0]
    await until(lambda: sleeps(processes_of(files, "long")))  # its shell has no other child then
    program = processes_of(files, "long")
    stopped = [worker, keeper_of(files, "long"), *program]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    ended = await asyncio.wait_for(fleet.ended(["short", "long"]), 90)
    await until(lambda: first in said(tmp_path / "ended")["short"])
    assert sorted(engine.ends) == [("local-1", t, Ending.SUCCEEDED) for t in (3, 4)]
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    await until(lambda: ("local-0", first, Ending.SUCCEEDED) in engine.ends)
    assert not gone(program), "what its worker may not go on with is ended"
    for name in ("short", "long"):
        attempts = await fleet.attempts(name)
        assert [(a.worker_id, a.outcome.ending) for a in attempts] == [
            ("local-0", Ending.LOST), ("local-1", Ending.SUCCEEDED)
        ]  # fmt: skip
        assert int(ended[name].outcome.result["stdout"]) == attempts[1].token
    # It is a worker as before.
    here = Requirements(worker="local-0")
    await fleet.submit([spec("after", 0, tmp_path, requirements=here)])
    await asyncio.wait_for(fleet.ended(["after"]), 60)
    assert engine.pids["local-0"] == worker
    judge_tokens(sqlite_rows(tmp_path / "fleet.sqlite"), ["short", "long", "after"], tmp_path)


async def test_an_attempt_whose_keeper_is_stopped_ends_with_its_lease(fleet, tmp_path):
    """Nobody else would see that its time is over."""
    await fleet.submit([spec("t", 600, tmp_path, timeout_s=6.0)])

    async def runs():
        return (await fleet.task("t")).state == "running" and said(tmp_path / "begun")

    await until(runs)
    pids = [keeper_of(tmp_path / "files", "t"), *processes_of(tmp_path / "files", "t")]
    os.kill(pids[0], signal.SIGSTOP)
    ended = await asyncio.wait_for(fleet.ended(["t"]), 60)
    assert ended["t"].reason == "ran longer than its 6 s"
    assert not gone(pids)
    await fleet.submit([spec("next", 0, tmp_path)])
    assert (await asyncio.wait_for(fleet.ended(["next"]), 60))["next"].state == "completed"


async def test_whatever_is_killed_of_workers_and_attempts_nothing_is_lost(fleet, tmp_path, capsys):
    """Workers, the processes that keep attempts, and programs, as chance has it."""
    rng = random.Random(20261122)  # noqa: S311  whom to kill, no secrets
    names, killed = [], Counter()
    while sum(killed.values()) < KILLS or len(killed) < 3:
        if len(said(tmp_path / "ended")) > len(names) - 10:  # there is always one to be killed
            more = [f"t{len(names) + n}" for n in range(40)]
            await fleet.submit([spec(name, 0.3, tmp_path, retries=100) for name in more])
            names += more
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        rank = rng.choice(["worker", "keeper", "program"])
        pid = victim(fleet.engine, rank, rng)
        if pid and alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed[rank] += 1
    ended = await asyncio.wait_for(fleet.ended(names), 150)
    assert {task.state for task in ended.values()} == {"completed"}
    tries = sum(task.attempt for task in ended.values())
    judge_tokens(sqlite_rows(tmp_path / "fleet.sqlite"), names, tmp_path)
    assert tries > len(names)
    report(capsys, "killed", **killed, tasks=len(names), attempts=tries)


def victim(engine, rank, rng):
    """Return a process of a rank, 0 when there is none now."""
    ranks = {"worker": list(engine.pids.values()), "keeper": [], "program": []}
    for worker in ranks["worker"]:
        with contextlib.suppress(psutil.NoSuchProcess):
            for keeper in psutil.Process(worker).children():
                ranks["keeper"].append(keeper.pid)
                ranks["program"] += [child.pid for child in keeper.children(recursive=True)]
    return rng.choice(ranks[rank]) if ranks[rank] else 0
