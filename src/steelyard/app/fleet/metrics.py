"""What a coordinator measures of itself, and how Prometheus is told."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.states import TaskState, WorkerState
from steelyard.kernel.units import NS_PER_S

WINDOW_S = 60
"""Rates are means over so many seconds."""


class FleetMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How a fleet does.

    Attributes:
        leads: this coordinator leads; the rest is empty where it does not.
        tasks: tasks this coordinator knows of, by state.
        ready: tasks that could run now, were there a worker.
        queue_age_s: how long the oldest of them has waited since it was submitted.
        workers: by state.
        slots, slots_taken: of workers that live.
        events: what happened since the coordinator began, by name.
        per_second: of submitted, started, completed and failed tasks, means over a minute.
        untold: events that plugins were not told, because too many waited.
        plugins: calls, failures and seconds by plugin.
        scheduler: its name, and what it measures of itself.
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
    tasks = Counter(str(task.state) for task in book.tasks.values())
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


def prometheus(metrics: FleetMetrics) -> str:
    """Return metrics in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []

    def family(
        name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
    ) -> None:
        lines.extend(
            (f"# HELP steelyard_fleet_{name} {text}", f"# TYPE steelyard_fleet_{name} {kind}")
        )
        for labels, value in samples:
            shown = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
            lines.append(
                f"steelyard_fleet_{name}{{{shown}}} {value!r}"
                if shown
                else f"steelyard_fleet_{name} {value!r}"
            )

    family("leader", "gauge", "1 where this coordinator leads.", [({}, float(metrics.leads))])
    family("tasks", "gauge", "Tasks by state.", _by("state", metrics.tasks))
    family("tasks_ready", "gauge", "Tasks that wait for a worker.", [({}, metrics.ready)])
    family(
        "queue_age_seconds", "gauge", "Age of the oldest ready task.", [({}, metrics.queue_age_s)]
    )
    family("workers", "gauge", "Workers by state.", _by("state", metrics.workers))
    family("slots", "gauge", "Slots of living workers.", [({}, metrics.slots)])
    family("slots_taken", "gauge", "Slots that a lease holds.", [({}, metrics.slots_taken)])
    family("events_total", "counter", "What happened, by event.", _by("event", metrics.events))
    family("tasks_per_second", "gauge", "Means over a minute.", _by("step", metrics.per_second))
    family(
        "hook_events_waiting",
        "gauge",
        "Events that plugins are yet to be told.",
        [({}, metrics.waiting_events)],
    )
    family(
        "hook_events_untold_total",
        "counter",
        "Events that plugins were not told.",
        [({}, metrics.untold)],
    )
    for field in ("calls", "failures", "seconds"):
        values = {name: counts[field] for name, counts in metrics.plugins.items()}
        family(
            f"hook_{field}_total", "counter", f"Hooks of plugins: {field}.", _by("plugin", values)
        )
    numbers = _numbers(metrics.scheduler_metrics)
    labels = {"scheduler": metrics.scheduler}
    family(
        "scheduler",
        "gauge",
        "What the scheduler measures of itself.",
        [({**labels, "name": name}, value) for name, value in numbers.items()],
    )
    return "\n".join(lines) + "\n"


def _by(label: str, values: Mapping[str, float]) -> list[tuple[Mapping[str, str], float]]:
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
