"""What a coordinator measures of itself, and how Prometheus is told."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from steelyard.app.fleet.measures import Distribution
from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.states import TASK_ENDS, TaskState, WorkerState
from steelyard.kernel.units import NS_PER_S

PREFIX = "steelyard_fleet_"
Sample = tuple[Mapping[str, str], float]
WINDOW_S = 60
"""Rates are means over so many seconds."""


class FleetMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How a fleet does.

    Attributes:
        leads: this coordinator leads; where it does not, what is of tasks and workers is empty.
        tasks: by state; of those that have ended, the ones that did since this coordinator leads.
        ready: tasks that could run now, were there a worker.
        queue_age_s: how long the oldest of them has waited since it was submitted.
        workers: by state.
        slots, slots_taken: of workers that live.
        events: what happened since the coordinator began, by name.
        per_second: of submitted, started, completed and failed tasks, means over a minute.
        untold: events that plugins were not told, because too many waited.
        plugins: calls, failures and seconds by plugin.
        attempts: that are over, by ending.
        durations: `queue_wait`, `attempt_duration`, `scheduling_pass`, `ledger_commit`.
        traces: of ended tasks, by `exported`, `refused` (by the collector) and `dropped`.
        runs: of the tracker, by `written` and `unwritten`.
        scheduler: its name, and what it measures of itself.

    What counts goes on counting from the coordinator's start to its end, whoever leads in between.
    """

    leads: bool
    tasks: dict[str, int] = {}
    ready: int = 0
    queue_age_s: float = 0.0
    workers: dict[str, int] = {}
    slots: int = 0
    slots_taken: int = 0
    events: dict[str, int] = {}
    per_second: dict[str, float] = {}
    waiting_events: int = 0
    untold: int = 0
    plugins: dict[str, dict[str, float]] = {}
    attempts: dict[str, int] = {}
    durations: dict[str, Distribution] = {}
    traces: dict[str, int] = {}
    runs: dict[str, int] = {}
    scheduler: str = ""
    scheduler_metrics: dict[str, Any] = {}


class Rates:
    """Counts events by the second, for as long as the window."""

    def __init__(self, begun_ns: int) -> None:
        self.totals: Counter[str] = Counter()
        self._begun_s = begun_ns // NS_PER_S
        self._seconds: deque[tuple[int, Counter[str]]] = deque()

    def count(self, name: str, at_ns: int) -> None:
        """Count an event."""
        self.totals[name] += 1
        second = at_ns // NS_PER_S
        if not self._seconds or self._seconds[-1][0] < second:
            self._seconds.append((second, Counter()))
            self._forget(second)
        self._seconds[-1][1][name] += 1

    def per_second(self, name: str, now_ns: int) -> float:
        """Return the mean of the last minute, or of the time since the beginning."""
        now_s = now_ns // NS_PER_S
        self._forget(now_s)
        seen_s = min(max(now_s - self._begun_s, 1), WINDOW_S)
        return sum(counts[name] for _, counts in self._seconds) / seen_s

    def _forget(self, now_s: int) -> None:
        while self._seconds and self._seconds[0][0] <= now_s - WINDOW_S:
            self._seconds.popleft()


RATED = {
    "submitted": "task_created", "started": "task_started", "completed": "task_completed",
    "failed": "task_failed",
}  # fmt: skip


def of_book(book: Book, now_ns: int) -> dict[str, Any]:
    """Return the fields of `FleetMetrics` that the machine's book holds."""
    tasks = Counter(str(t.state) for t in book.tasks.values() if t.state not in TASK_ENDS)
    tasks.update({str(state): count for state, count in book.ended.items()})
    workers = Counter(str(worker.state) for worker in book.workers.values())
    living = [w for w in book.workers.values() if w.state is WorkerState.ALIVE]
    oldest_ns = min((task.spec.submitted_ns for task in book.ready.values()), default=now_ns)
    return {
        "tasks": {str(state): tasks[str(state)] for state in TaskState},
        "ready": len(book.ready),
        "queue_age_s": max(now_ns - oldest_ns, 0) / NS_PER_S,
        "workers": {str(state): workers[str(state)] for state in WorkerState},
        "slots": sum(worker.slots for worker in living),
        "slots_taken": sum(len(worker.holds) for worker in living),
    }


class Family(NamedTuple):
    """A family of samples: its name behind `steelyard_fleet_`, what it is, and what it says."""

    name: str
    kind: str
    text: str
    samples: Callable[[FleetMetrics], Iterable[Sample]] = lambda _: ()


FAMILIES: tuple[Family, ...] = (
    Family("leader", "gauge", "1 where this coordinator leads.", lambda m: _one(float(m.leads))),
    Family("tasks", "gauge", "Tasks by state.", lambda m: _by("state", m.tasks)),
    Family("tasks_ready", "gauge", "Tasks that wait for a worker.", lambda m: _one(m.ready)),
    Family("queue_age_seconds", "gauge", "Age of the oldest ready task.",
           lambda m: _one(m.queue_age_s)),
    Family("workers", "gauge", "Workers by state.", lambda m: _by("state", m.workers)),
    Family("slots", "gauge", "Slots of living workers.", lambda m: _one(m.slots)),
    Family("slots_taken", "gauge", "Slots that a lease holds.", lambda m: _one(m.slots_taken)),
    Family("events_total", "counter", "What happened, by event.",
           lambda m: _by("event", m.events)),
    Family("attempts_total", "counter", "Attempts that are over, by how they ended.",
           lambda m: _by("ending", m.attempts)),
    Family("tasks_per_second", "gauge", "Means over a minute.",
           lambda m: _by("step", m.per_second)),
    Family("queue_wait_seconds", "histogram", "From when a task is ready to its lease."),
    Family("attempt_duration_seconds", "histogram", "From an attempt's start to its end."),
    Family("scheduling_pass_seconds", "histogram", "What a pass of the scheduler took."),
    Family("ledger_commit_seconds", "histogram", "What a commit of the ledger took."),
    Family("hook_events_waiting", "gauge", "Events that plugins are yet to be told.",
           lambda m: _one(m.waiting_events)),
    Family("hook_events_untold_total", "counter", "Events that plugins were not told.",
           lambda m: _one(m.untold)),
    Family("hook_calls_total", "counter", "Calls of plugins' hooks.",
           lambda m: _by("plugin", {n: c["calls"] for n, c in m.plugins.items()})),
    Family("hook_failures_total", "counter", "Calls of them that failed.",
           lambda m: _by("plugin", {n: c["failures"] for n, c in m.plugins.items()})),
    Family("hook_seconds_total", "counter", "Time spent in them.",
           lambda m: _by("plugin", {n: c["seconds"] for n, c in m.plugins.items()})),
    Family("traces_total", "counter", "Traces of tasks that ended, by what became of them.",
           lambda m: _by("result", m.traces)),
    Family("runs_total", "counter", "Runs of the tracker, by what became of them.",
           lambda m: _by("result", m.runs)),
    Family("scheduler", "gauge", "What the scheduler measures of itself.",
           lambda m: [({"scheduler": m.scheduler, "name": name}, value)
                      for name, value in _numbers(m.scheduler_metrics).items()]),
)  # fmt: skip
"""All that `/metrics` tells, in this order; docs/fleet-observability.md has the same list."""


def prometheus(metrics: FleetMetrics) -> str:
    """Return metrics in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []
    for family in FAMILIES:
        name = PREFIX + family.name
        lines += [f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}"]
        if family.kind == "histogram":
            found = metrics.durations.get(family.name.removesuffix("_seconds"))
            lines += _histogram(name, found) if found is not None else ()
        else:
            lines += [_sample(name, labels, value) for labels, value in family.samples(metrics)]
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
    return f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}"


def _histogram(name: str, found: Distribution) -> Iterable[str]:
    """Yield the samples of a distribution; each bucket counts those below it too."""
    count = 0
    for bound, number in zip((*found.bounds, None), found.counts, strict=True):
        count += number
        end = "+Inf" if bound is None else repr(bound)
        yield _sample(f"{name}_bucket", {"le": end}, count)
    yield _sample(f"{name}_sum", {}, found.sum)
    yield _sample(f"{name}_count", {}, count)


def _one(value: float) -> list[Sample]:
    return [({}, value)]


def _by(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: name}, value) for name, value in values.items()]


def _numbers(values: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """Return the numbers in nested values, by dotted names."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{before}{name}.")
        elif isinstance(value, int | float):
            found[f"{before}{name}"] = float(value)
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
