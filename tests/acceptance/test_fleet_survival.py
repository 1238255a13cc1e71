"""The coordinator's process is killed in mid-run, and another goes on: nothing lost, nothing twice.

Real processes throughout: coordinator, workers, attempts. Each attempt that comes to its end leaves
a line in a file; what the ledger has accepted is compared with that.
"""

import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
TASKS = 60
_COORDINATOR = """
import asyncio, sys
from steelyard.fleet import Backoff, Coordinator, FleetSettings, TaskSpec

async def main(place, count, prefix, files):
    settings = FleetSettings(
        ledger=f"{place}/fleet.sqlite", directory=f"{place}/{files}",
        engines={"local": {"workers": 2, "slots": 3, "detect": False}},
        stand_by=files != "files", leader_ttl_s=2.0,
    )
    async with Coordinator(settings) as fleet:
        specs = [
            TaskSpec(
                task_id=f"{prefix}{n}", kind="command", backoff=Backoff(first_s=0.05),
                losses_max=50, idempotency_key=f"{prefix}{n}",
                payload={"shell": f"sleep 0.1; echo {prefix}{n} $$ >> {place}/ends; echo {n}"},
            )
            for n in range(count)
        ]
        submitted = await fleet.submit(specs)
        print("submitted", sum(s.accepted for s in submitted), flush=True)
        await fleet.ended([s.task_id for s in submitted])
        print("ended", flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
"""


class Life:
    """A coordinator's process."""

    def __init__(self, place, count=TASKS, prefix="t", files="files"):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COORDINATOR, str(place), str(count), prefix, files],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.children = []

    def submitted(self):
        assert self.process.stdout.readline().startswith("submitted")

    def kill(self):
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)

    def end(self):
        out, err = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, err
        assert out.endswith("ended\n")


def ledger_rows(place, query):
    with sqlite3.connect(place / "fleet.sqlite") as connection:
        return connection.execute(query).fetchall()


def events(place, name):
    """Return the task ids of the events of a name, in order."""
    query = f"SELECT task_id FROM fleet_events WHERE name = '{name}' ORDER BY seq"
    return [task_id for (task_id,) in ledger_rows(place, query)]


@pytest.mark.parametrize("after_s", [0.0, 0.4, 0.9])
def test_a_killed_coordinator_loses_nothing_and_accepts_nothing_twice(tmp_path, after_s):
    """Three lives on one ledger; each submits the same tasks, two are killed."""
    for wait_s in (after_s, after_s / 2):
        life = Life(tmp_path)
        life.submitted()
        time.sleep(wait_s)
        life.kill()
        _, alive = psutil.wait_procs(life.children, timeout=60)
        assert not alive, "workers and attempts end with their coordinator"
    last = Life(tmp_path)
    last.submitted()
    last.end()

    names = {f"t{n}" for n in range(TASKS)}
    states = dict(ledger_rows(tmp_path, "SELECT task_id, state FROM fleet_tasks"))
    assert states == dict.fromkeys(names, "completed"), "nothing is lost"
    assert sorted(events(tmp_path, "task_created")) == sorted(names), "nothing is taken twice"
    assert sorted(events(tmp_path, "task_completed")) == sorted(names), "nor accepted twice"
    ended = {line.split()[0] for line in (tmp_path / "ends").read_text().splitlines()}
    assert ended == names, "what is called completed came to its end"
    epochs = ledger_rows(tmp_path, "SELECT epoch FROM fleet_leader")
    assert epochs == [(3,)]
    assert len(events(tmp_path, "coordinator_startup")) == 3


def test_what_happened_is_in_the_journal_once_after_a_kill(tmp_path):
    """The journal is the ledger's outbox: each event of the ledger, once, in order."""
    from steelyard.runtime.journal import JournalReader

    life = Life(tmp_path)
    life.submitted()
    time.sleep(0.5)
    life.kill()
    last = Life(tmp_path)
    last.submitted()
    last.end()
    reader = JournalReader(tmp_path / "files" / "journal")
    told = [e.payload["seq"] for e in reader.events("fleet") if e.type.startswith("fleet.")]
    kept = ledger_rows(tmp_path, "SELECT seq FROM fleet_events WHERE published = 1 ORDER BY seq")
    assert told == [seq for (seq,) in kept]
    assert len(told) > TASKS


def test_one_that_stands_by_takes_over_from_a_killed_leader(tmp_path):
    """Both are told of tasks, by two processes; the leader dies, the other ends them all."""
    leader = Life(tmp_path)
    leader.submitted()
    second = Life(tmp_path, prefix="s", count=10, files="others")
    second.submitted()
    leader.kill()
    second.end()
    states = [state for (state,) in ledger_rows(tmp_path, "SELECT state FROM fleet_tasks")]
    assert len(states) == TASKS + 10
    done = events(tmp_path, "task_completed")
    assert len(done) == len(set(done)), "nothing is accepted twice"
    assert {f"s{n}" for n in range(10)} <= set(done)
    at_ns = [at for (at,) in ledger_rows(tmp_path, "SELECT at_ns FROM fleet_events ORDER BY seq")]
    assert max(b - a for a, b in pairwise(at_ns)) < 60e9, "a failover takes seconds"
