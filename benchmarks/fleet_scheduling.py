"""What a scheduler's pass costs over a long queue, and what each strategy is worth.

    python -m benchmarks.fleet_scheduling [--quick] [--write]

10,000 tasks wait for 200 workers of four slots. Cold: the scheduler is told of all of them and
fills every slot it means to. Warm: one attempt ends, and it fills what that freed; beside it the
whole turn, in which the fleet's machine makes leases of the proposals. The reference in the same
run is a pass that looks at every task in the queue. A pass waits for nothing, so times are those
of the processor: what else runs on the machine does not count.
"""

import statistics
import time
from collections.abc import Sequence

import numpy as np
from benchmarks.tables import page, parser, publish, table

from steelyard.domain.fleet.events import AttemptEnded, Submitted, WorkerRegistered
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Limits, Outcome, Task, TaskSpec, seconds
from steelyard.domain.fleet.ports import Free
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements, unmet
from steelyard.domain.fleet.scheduling.desk import Desk
from steelyard.domain.fleet.simulation.generate import generated
from steelyard.domain.fleet.simulation.objectives import (
    OBJECTIVE_OF,
    Objectives,
    all_round,
    objectives,
)
from steelyard.domain.fleet.simulation.play import play
from steelyard.runtime.plugin_host import PluginHost

TASKS, WORKERS, SLOTS = 10_000, 200, 4
EVENTS = 200
COLD_MS, WARM_MS = 500.0, 5.0
BEGIN_NS = seconds(1_000_000.0)
SEEDS = (1, 2, 3)
_FOREVER = Limits(silent_s=1e8, lost_s=1e8, start_s=1e8)
_CLASSES = (
    Capabilities(
        hardware_type="gpu", cpu_cores=64, memory_gb=512, power_w=3000, speed=2.0,
        gpus=(Gpu(model="H200", memory_gb=141),) * 4, accelerators=("cuda",),
    ),
    Capabilities(cpu_cores=32, memory_gb=128, power_w=400, speed=1.5),
    Capabilities(cpu_cores=16, memory_gb=64, power_w=200),
    Capabilities(cpu_cores=16, memory_gb=64, power_w=200, labels={"arch": "arm"}),
)  # fmt: skip
_NEEDS = (
    Requirements(),
    Requirements(cpu_cores=2, memory_gb=4),
    Requirements(gpus=1, accelerators=("cuda",)),
    Requirements(cpu_cores=8, memory_gb=16),
    Requirements(gpus=2, gpu_memory_gb=80),
    Requirements(labels={"arch": "arm"}),
)


def _specs(count: int, *, own_needs: bool) -> list[TaskSpec]:
    """Return tasks of 20 users; with `own_needs` no two ask for the same memory."""
    rng = np.random.default_rng(1)
    needs, users, kinds = (rng.integers(0, n, count) for n in (len(_NEEDS), 20, 3))
    priorities, late = rng.integers(0, 10, count), rng.integers(0, 20_000, count)
    return [
        TaskSpec(
            task_id=f"t{n:05d}", kind=f"kind{kinds[n]}", user=f"user{users[n]}",
            project=f"project{users[n] % 5}", priority=int(priorities[n]),
            estimate_s=float(30 + n % 300),
            deadline_ns=BEGIN_NS + seconds(float(late[n])) if late[n] % 2 else 0,
            requirements=Requirements(cpu_cores=1, memory_gb=1 + n / count)
            if own_needs
            else _NEEDS[needs[n]],
        )
        for n in range(count)
    ]  # fmt: skip


class _Queue:
    """A fleet with a long queue, under one scheduler."""

    def __init__(self, host: PluginHost, name: str, specs: Sequence[TaskSpec]) -> None:
        self.now_ns = BEGIN_NS
        self.fleet = Fleet(_FOREVER)
        for number in range(WORKERS):
            has = _CLASSES[number % len(_CLASSES)]
            self.fleet.handle(WorkerRegistered(f"w{number:03d}", has, SLOTS), self.now_ns)
        self.fleet.handle(Submitted(tuple(specs)), self.now_ns)
        self.scheduler = host.create("scheduler", name)
        begun = time.process_time()
        self.desk = Desk(self.fleet, self.scheduler)
        self.told_ms = (time.process_time() - begun) * 1e3

    def free(self) -> list[Free]:
        return self.desk.free(self.now_ns)

    def propose_ms(self) -> float:
        """Return how long a pass takes that nothing comes of."""
        free, workers = self.free(), self.fleet.book.workers
        begun = time.process_time()
        list(self.scheduler.propose(free, workers, self.now_ns))
        return (time.process_time() - begun) * 1e3

    def turn_ms(self) -> tuple[float, int]:
        """Return how long a turn takes, and how many leases came of it."""
        begun = time.process_time()
        _, decided = self.desk.turn(self.now_ns)
        spent_ms = (time.process_time() - begun) * 1e3
        return spent_ms, sum(not each.refused for each in decided)

    def end(self, task: Task) -> None:
        """Let an attempt end."""
        self.now_ns += seconds(1.0)
        done = Outcome(ending=Ending.SUCCEEDED, seconds=20.0)
        event = AttemptEnded(task.spec.task_id, task.token, done)
        self.desk.watch(self.fleet.handle(event, self.now_ns))


def _naive_ms(queue: _Queue) -> float:
    """Return how long it takes to ask of each waiting task which free worker would do."""
    free = queue.free()
    begun = time.process_time()
    for task in queue.fleet.book.ready.values():
        needs = task.spec.requirements
        any(not unmet(needs, f.worker.worker_id, f.worker.capabilities) for f in free)
    return (time.process_time() - begun) * 1e3


def _passes(host: PluginHost, name: str, events: int, *, own_needs: bool = False) -> list[str]:
    queue = _Queue(host, name, _specs(TASKS, own_needs=own_needs))
    cold_ms = queue.told_ms + queue.propose_ms()
    _, leases = queue.turn_ms()
    rng = np.random.default_rng(2)
    passes: list[float] = []
    turns: list[float] = []
    naive: list[float] = []
    for number in range(events):
        held = [task for task in queue.fleet.book.tasks.values() if task.token]
        queue.end(held[int(rng.integers(len(held)))])
        if number % 40 == 0:
            naive.append(_naive_ms(queue))
        passes.append(queue.propose_ms())
        turns.append(queue.turn_ms()[0])
    warm_ms = statistics.median(passes)
    if warm_ms > WARM_MS or cold_ms > COLD_MS:
        print(f"{name}: above the target")
    return [
        name + (", all needs different" if own_needs else ""),
        str(leases),
        f"{cold_ms:.0f}",
        f"{warm_ms:.3f}",
        f"{float(np.percentile(passes, 99)):.2f}",
        f"{statistics.median(turns):.3f}",
        f"{statistics.median(naive) / warm_ms:.0f}",
    ]


def _worth(host: PluginHost, seed: int) -> list[list[str]]:
    recording = generated(seed)
    found = {
        name: objectives(play(recording, host.create("scheduler", name))) for name in OBJECTIVE_OF
    }
    rounds = all_round(found)

    def cell(name: str, field: str) -> str:
        values = (
            rounds if field == "all_round" else {n: getattr(o, field) for n, o in found.items()}
        )
        value = values[name]
        text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        best = value == min(values.values())
        return f"**{text}**" if best and OBJECTIVE_OF[name] == field else text

    return [[name, *(cell(name, field) for field in _fields())] for name in OBJECTIVE_OF]


def _fields() -> list[str]:
    return [*Objectives.__struct_fields__, "all_round"]


def _simulator(host: PluginHost, tasks: int) -> list[list[str]]:
    recording = generated(1, tasks, WORKERS)
    rows = []
    for name in ("round_robin", "fair_share", "custom"):
        begun = time.perf_counter()
        run = play(recording, host.create("scheduler", name))
        spent_s = time.perf_counter() - begun
        rows.append([name, f"{len(run.played):,}", f"{spent_s:.1f}", f"{tasks / spent_s:,.0f}"])
    return rows


def main() -> None:
    """Measure, print, and keep the pages where asked."""
    asked = parser(__doc__).parse_args()
    host = PluginHost.standard()
    share = 10 if asked.quick else 1
    rows = [_passes(host, name, EVENTS // share) for name in OBJECTIVE_OF]
    rows += [
        _passes(host, name, EVENTS // share, own_needs=True)
        for name in ("priority_based", "fair_share")
    ]
    head = ["scheduler", "leases", "cold, ms", "pass p50, ms", "p99, ms", "turn p50, ms",
            "looking at all / p50"]  # fmt: skip
    text = page(
        "Scheduling a fleet",
        f"{TASKS:,} tasks wait for {WORKERS} workers of {SLOTS} slots. Targets: cold <= "
        f"{COLD_MS:.0f} ms with all that it is told first, a pass after one event <= {WARM_MS:g} "
        "ms at the median; processor time. Some leave slots idle on "
        "purpose: `hardware_match`, `energy_efficient` and `custom`.",
        [
            table(head, rows),
            table(["simulator", "tasks", "s", "tasks/s"], _simulator(host, TASKS // share)),
        ],
    )
    publish("fleet_scheduling", text, asked)
    blocks = [
        f"Seed {seed}:\n\n" + table(["strategy", *_fields()], _worth(host, seed)) for seed in SEEDS
    ]
    text = page(
        "What each strategy is worth",
        "400 tasks of six users for 20 workers of five kinds, 70 % of them at once. Smaller is "
        "better in each column; what a strategy is for is bold where it is the best at that. "
        "What the columns are: `steelyard.domain.fleet.simulation.objectives`.",
        blocks,
    )
    publish("fleet_strategies", text, asked)


if __name__ == "__main__":
    main()
