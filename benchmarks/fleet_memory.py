"""What a coordinator that runs for months keeps in memory, and how soon the next one begins.

    python -m benchmarks.fleet_memory [--quick] [--write]

Tasks go through a whole coordinator: SQLite ledger, `fair_share`, journal, an engine that is done
at once. Between parts of them its PSS is read. The reference in the same run is a coordinator that
forgets nothing. Beside it stand the machine and its scheduler alone, over many more tasks, and how
long a start takes on a ledger of ended tasks.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet_ledger import SUPPORT
from benchmarks.tables import page, parser, publish, table
from msgspec.structs import replace

from steelyard.domain.fleet.events import AttemptEnded, Dispatch, Submitted, WorkerRegistered
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Limits, Outcome, Task, TaskSpec, seconds
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.scheduling.desk import Desk
from steelyard.domain.fleet.states import TaskState
from steelyard.fleet import Coordinator, FleetSettings
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ports import Change
from steelyard.runtime.plugin_host import PluginHost

TASKS, ALONE, KEPT = 100_000, 400_000, 20_000
BATCH = 1_000
PARTS = 8
ENDED = 200_000
START_S = 1.0
WORKERS, SLOTS = 20, 8
_FOREVER = Limits(silent_s=1e8, lost_s=1e8, start_s=1e8)


def _specs(first: int, count: int) -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            task_id=f"task-{n:08d}", kind="command", user=f"user{n % 7}", project="bench",
            payload={"argv": ["/bin/true", str(n)]}, submitted_ns=n + 1, estimate_s=10.0,
            idempotency_key=f"key-{n:08d}", endpoint=f"http://127.0.0.1:{10_000 + n}",
        )
        for n in range(first, first + count)
    )  # fmt: skip


def _pss_kb() -> int:
    """Return the proportional set size, once freed memory was given back to the system.

    That of files is left out: how much of a library counts depends on who else has it open.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    return 0


class _Series:
    """PSS in KiB and blocks of Python's own memory, over tasks."""

    def __init__(self) -> None:
        self.points: list[tuple[int, int, int]] = []

    def note(self, tasks: int) -> None:
        self.points.append((tasks, _pss_kb(), sys.getallocatedblocks()))

    def told(self) -> None:
        print(json.dumps(self.points))


async def _through(count: int) -> None:
    """Have tasks carried out by a coordinator; tell its PSS after each part of them."""
    rig = importlib.import_module("fleet_rig")
    series = _Series()
    with tempfile.TemporaryDirectory() as place:
        engine = rig.InstantEngine(workers=WORKERS, slots=SLOTS)
        engine.submitted = _Nothing()
        settings = FleetSettings(
            ledger=f"{place}/ledger.sqlite", directory=f"{place}/files", engines={}
        )
        async with Coordinator(settings, engines={"instant": engine}) as fleet:
            beat = asyncio.create_task(_beat(fleet, engine))
            for first in range(0, count, BATCH):
                await fleet.submit(_specs(first, BATCH))
                await _completed(fleet, first + BATCH)
                if (first + BATCH) % (count // PARTS) < BATCH:
                    await fleet.hooks_settled()
                    series.note(first + BATCH)
            beat.cancel()
    series.told()


async def _completed(fleet: Coordinator, count: int) -> None:
    """Wait until so many are, by the ledger's word."""
    while (await fleet.counts())[TaskState.COMPLETED] < count:  # noqa: ASYNC110  no event says so
        await asyncio.sleep(0.05)


class _Nothing(list[Any]):
    """Keeps nothing of what the engine of the tests notes."""

    def append(self, item: Any) -> None:
        """Keep nothing."""


async def _beat(fleet: Coordinator, engine: Any) -> None:
    while True:
        await asyncio.sleep(1.0)
        for worker in await fleet.workers():
            engine.say(EngineEvent(kind="heard", worker_id=worker.worker_id))


def _alone(count: int) -> None:
    """Have the machine and its scheduler do many tasks without anything around them."""
    series, now_ns = _Series(), seconds(1_000_000.0)
    fleet = Fleet(_FOREVER)
    for number in range(WORKERS):
        fleet.handle(WorkerRegistered(f"w{number}", Capabilities(cpu_cores=64), SLOTS), now_ns)
    desk = Desk(fleet, PluginHost.standard().create("scheduler", "fair_share"))
    done = Outcome(ending=Ending.SUCCEEDED, result={"exit_code": 0}, seconds=5.0)
    for first in range(0, count, BATCH):
        fleet.handle(Submitted(_specs(first, BATCH)), now_ns)
        while fleet.book.ready:
            now_ns += seconds(1.0)
            wanted, _ = desk.turn(now_ns)
            for lease in (each.lease for each in wanted if isinstance(each, Dispatch)):
                desk.watch(fleet.handle(AttemptEnded(lease.task_id, lease.token, done), now_ns))
            fleet.forget()
        if (first + BATCH) % (count // PARTS) < BATCH:
            series.note(first + BATCH)
    series.told()


def _keep_all() -> None:
    """Be the reference."""
    Fleet.forget = lambda _: ()  # type: ignore[method-assign, assignment]


def _child(how: str, count: int) -> list[tuple[int, int, int]]:
    """Return the memory over tasks of a process of its own."""
    words = [sys.executable, "-m", "benchmarks.fleet_memory", "--child", how, str(count)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    return [tuple(point) for point in json.loads(done.stdout)]


def _row(name: str, points: list[tuple[int, int, int]]) -> list[str]:
    """Return the sizes, and what each task of the later half added."""
    half, end = points[len(points) // 2 - 1], points[-1]
    tasks = end[0] - half[0]
    marks = [points[len(points) // 4 - 1], half, end]
    return [
        name,
        *(f"{kb / 1024:.1f} ({count:,})" for count, kb, _ in marks),
        f"{(end[1] - half[1]) * 1024 / tasks:,.0f}",
        f"{(end[2] - half[2]) / tasks:,.2f}",
    ]


async def _start_s(place: str) -> float:
    """Return how long it takes to lead, load, and tell a scheduler of the past."""
    rig = importlib.import_module("fleet_rig")

    async def hear(_: object) -> None:
        return

    begun = time.perf_counter()
    ledger = SqlLedger(place)
    ledger.lead("bench", wait_s=10)
    driver = FleetDriver(Fleet(), ledger, rig.FirstCome(), {}, hear, SystemClock())
    await driver.restore(ledger.load())
    spent_s = time.perf_counter() - begun
    ledger.close()
    return spent_s


def _starts(count: int) -> list[list[str]]:
    rig = importlib.import_module("ledger_rig")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for ended in (0, count):
            path = f"{place}/{ended}.sqlite"
            ledger = SqlLedger(path)
            ledger.lead("bench", wait_s=10)
            for first in range(0, ended, BATCH):
                tasks = [
                    Task(spec=spec, state=TaskState.COMPLETED, ended_ns=spec.submitted_ns)
                    for spec in _specs(first, BATCH)
                ]
                attempts = tuple(
                    replace(rig.attempt(task.spec.task_id), ended_ns=task.ended_ns)
                    for task in tasks
                )
                ledger.commit(Change(tasks=tuple(tasks), attempts=attempts))
            if ledger.leadership is not None:
                ledger.leadership.resign()
            ledger.close()
            best = min(asyncio.run(_start_s(path)) for _ in range(3))
            rows.append([f"{ended:,}", f"{best:.3f}"])
    return rows


def main() -> None:
    """Measure, print, and keep the page where asked."""
    sys.path.insert(0, str(SUPPORT))
    if "--child" in sys.argv:
        how, count = sys.argv[-2:]
        if how.endswith("keeps"):
            _keep_all()
        if how.startswith("coordinator"):
            asyncio.run(_through(int(count)))
        else:
            _alone(int(count))
        return
    asked = parser(__doc__).parse_args()
    share = 10 if asked.quick else 1
    rows = [
        _row("coordinator", _child("coordinator", TASKS // share)),
        _row("coordinator that forgets nothing", _child("coordinator-keeps", KEPT // share)),
        _row("machine and scheduler alone", _child("alone", ALONE // share)),
        _row("the same, forgetting nothing", _child("alone-keeps", KEPT // share)),
    ]
    starts = _starts(ENDED // share)
    if float(starts[1][1]) - float(starts[0][1]) > START_S:
        print("a start takes too long")
    text = page(
        "What a fleet keeps in memory",
        "MiB of anonymous PSS after so many tasks that have ended; bytes of it, and blocks of"
        " Python's own memory, that each of the later half added. Five connections to SQLite fill"
        f" caches of 2 MB on the way. Bound of a start on {ENDED:,} ended tasks:"
        f" {START_S:g} s more.",
        [
            table(["", "a quarter", "half", "all", "bytes a task", "blocks a task"], rows),
            table(["ended tasks in the ledger", "start, s"], starts),
        ],
    )  # fmt: skip
    publish("fleet_memory", text, asked)


if __name__ == "__main__":
    main()
