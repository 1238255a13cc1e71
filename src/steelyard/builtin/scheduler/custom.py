"""Scheduler `custom`: hardware, priority with ageing, deadlines, history and specialties in one."""

from collections.abc import Mapping
from typing import Any, ClassVar

from steelyard.domain.fleet.model import Attempt, Ending, Task, seconds
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.special import Specialties
from steelyard.domain.fleet.scheduling.waits import Wait, gpus_kept, too_slow
from steelyard.kernel.units import NS_PER_S

FEATURES: dict[str, frozenset[str]] = {
    "custom": frozenset({"hardware", "priority", "deadlines", "history", "specialization"}),
    "hardware_match": frozenset({"hardware"}),
    "priority_based": frozenset({"priority"}),
    "deadline_driven": frozenset({"deadlines", "history"}),
    "performance_based": frozenset({"history", "specialization"}),
}
"""What counts under each strategy that it can be set to."""
ADMITTED, LATE = 0.0, 1.0


class CustomScheduler(QueueScheduler):
    """Gives every task a time by which it should start, and serves the earliest.

    Without a deadline that is `patience_s` after it became ready, `ageing_s` earlier for each point
    of priority: so a task that waits gains a point each `ageing_s`, and none waits for ever. With a
    deadline it is the latest start that should still make it, by what earlier attempts took and
    `safety` times that, if this is sooner. A deadline that can't be met any more is not admitted:
    the task comes after all others.

    Workers are scored: how slow they are with the type (`history_weight`), what of them would lie
    idle (`hardware_weight`), how much of the type they did lately (`specialization_weight`), and
    their load. A task that asks for no GPU leaves workers with GPUs alone for `spill_after_s` where
    others would do.
    """

    strategy: ClassVar[str] = "custom"
    strategies: ClassVar[tuple[str, ...]] = tuple(FEATURES)

    def __init__(  # noqa: PLR0913  its options, all by name
        self,
        *,
        max_tasks_per_worker: int = 5,
        history_window_size: int = 100,
        detailed_logging: bool = False,
        strategy: str = "custom",
        patience_s: float = 600.0,
        ageing_s: float = 60.0,
        safety: float = 1.2,
        spill_after_s: float = 60.0,
        history_weight: float = 1.0,
        hardware_weight: float = 0.5,
        specialization_weight: float = 0.25,
    ) -> None:
        super().__init__(
            max_tasks_per_worker=max_tasks_per_worker,
            history_window_size=history_window_size,
            detailed_logging=detailed_logging,
        )
        self.patience_s = patience_s
        self.ageing_s = ageing_s
        self.safety = safety
        self.spill_after_s = spill_after_s
        self.weights = (history_weight, hardware_weight, specialization_weight)
        self.specialties = Specialties(history_window_size)
        self.active = strategy
        self.features = FEATURES[strategy]
        self._counts |= {"not_admitted": 0}

    def use_strategy(self, strategy: str) -> bool:
        """Let only what belongs to a strategy count, from now on; False when it has no such."""
        if strategy not in FEATURES:
            return False
        self.active, self.features = strategy, FEATURES[strategy]
        for task in list(self.queue):
            self.added(task)
        return True

    def sort(self, task: Task) -> str:
        """Types of tasks are scored apart."""
        return type_of(task.spec)

    def order(self, task: Task) -> Order:
        """Return the time by which a task should start."""
        return (ADMITTED, self._start_s(task, with_deadline=True))

    def _start_s(self, task: Task, *, with_deadline: bool) -> float:
        spec = task.spec
        start_s = task.ready_ns / NS_PER_S + self.patience_s
        if "priority" in self.features:
            start_s -= self.ageing_s * spec.priority
        if with_deadline and spec.deadline_ns and "deadlines" in self.features:
            needed_s = self.safety * self.history.expected_s(spec)
            start_s = min(start_s, spec.deadline_ns / NS_PER_S - needed_s)
        return start_s

    def later(self, task: Task, order: Order) -> Order | None:
        """Admit a task with a deadline only while the quickest worker could still make it."""
        deadline_ns = task.spec.deadline_ns
        if not deadline_ns or order[0] == LATE or "deadlines" not in self.features:
            return None
        left_s = (deadline_ns - self.now_ns) / NS_PER_S
        if self._quickest_s(task) <= left_s:
            return None
        self._counts["not_admitted"] += 1
        return (LATE, self._start_s(task, with_deadline=False))

    def _quickest_s(self, task: Task) -> float:
        return self.outlook(task).quickest * self.history.size_s(task.spec)

    def score(self, task: Task, place: Place) -> Score | None:
        """Return the weighted score; None where the task had better wait for another worker."""
        spec, worker = task.spec, place.worker
        needs, has = spec.requirements, worker.capabilities
        by_history, by_hardware, by_specialty = self.weights
        kind = type_of(spec)
        total = 0.1 * place.held / max(worker.slots, 1)
        if "hardware" in self.features:
            spills = self.waited_s(task) >= self.spill_after_s
            if has.gpus and not needs.gpus and not spills and self._has_plain(task):
                return None
            idle = (len(has.gpus) - needs.gpus) / len(has.gpus) if has.gpus else 0.0
            total += by_hardware * idle
        if "history" in self.features:
            share = self.history.share(kind, worker).share
            quickest = self.outlook(task).quickest
            if spec.deadline_ns and "deadlines" in self.features:
                left_s = (spec.deadline_ns - self.now_ns) / NS_PER_S
                size_s = self.history.size_s(spec)
                if share * size_s > left_s >= quickest * size_s:
                    return None
            total += by_history * (share / max(quickest, 1e-9) - 1)
        if "specialization" in self.features:
            total += by_specialty * (1 - self.specialties.share(place.worker_id, kind))
        return (total,)

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return whom the GPUs of a worker are kept for, or that it is too slow."""
        keeps = "hardware" in self.features and self.waited_s(task) < self.spill_after_s
        if keeps and place.worker.capabilities.gpus and not task.spec.requirements.gpus:
            plain = [worker for worker in self.able(task) if not worker.capabilities.gpus]
            if plain:
                return gpus_kept(plain, task.ready_ns + seconds(self.spill_after_s))
        taken_s = self.history.predict_s(task.spec, place.worker)
        return too_slow(taken_s, task.spec.deadline_ns, self.now_ns)

    def _has_plain(self, task: Task) -> bool:
        return any(not worker.capabilities.gpus for worker in self.able(task))

    def begin(self) -> None:
        """Forget workers that are gone."""
        if len(self.specialties) > 2 * len(self.workers):
            self.specialties.forget(set(self.workers))

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Learn what a worker is good for."""
        super().ended(task, attempt)
        if attempt.outcome is not None and attempt.outcome.ending is Ending.SUCCEEDED:
            self.specialties.note(attempt.worker_id, type_of(task.spec))

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        spec = task.spec
        start_s = self._start_s(task, with_deadline=True) - self.now_ns / NS_PER_S
        due = f"{-start_s:.0f} s ago" if start_s < 0 else f"{start_s:.0f} s from now"
        because = [f"its priority is {spec.priority}"] if spec.priority else []
        if spec.deadline_ns:
            left_s = (spec.deadline_ns - self.now_ns) / NS_PER_S
            because.append(f"its deadline is in {left_s:.0f} s")
        reason = f"It was to start {due}" + (f" ({', '.join(because)})" if because else "")
        seen = self.history.share(type_of(spec), place.worker).seen
        special = self.specialties.of(place.worker_id)
        return (
            f"{reason}; no task that fits was to start earlier.",
            f"Worker {place.worker_id} scored best, {score[-1]:.2f}: it should take "
            f"{self.history.predict_s(spec, place.worker):.1f} s by {seen} earlier attempts"
            + (f", and does mostly {special}." if special else "."),
        )

    def metrics(self) -> Mapping[str, Any]:
        """Return counts, and what workers do mostly."""
        shown = {name: self.specialties.of(name) for name in sorted(self.workers)[:50]}
        return {
            **super().metrics(),
            "active_strategy": self.active,
            "specialties": {name: kind for name, kind in shown.items() if kind},
        }
