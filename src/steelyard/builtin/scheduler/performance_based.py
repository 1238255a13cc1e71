"""Scheduler `performance_based`: by what earlier attempts took, so that all is done soonest."""

from math import frexp
from typing import ClassVar

from steelyard.domain.fleet.model import Task, seconds
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.waits import Wait

CLEARLY = 1.2
"""By how much a worker must be quicker to be waited for."""

LONG = 1.5
"""Times the mean of all that wait from which on a task is a long one."""

TRY_S = 300.0
"""How long a long task waits for a worker to be tried with a short one."""


class PerformanceScheduler(QueueScheduler):
    """The longest task first, on the worker that was the quickest with its like.

    No task goes to a worker that would still be at it when all the others could be done, while a
    quicker one exists: long tasks wait for quick workers, slow workers get short ones. Nor does a
    task go to a slow worker when a quicker one would end it sooner, the wait for that included. A
    worker that has not done a type yet is tried with a short task of it; a long one waits for that
    to happen, for `TRY_S` at most.
    """

    strategy: ClassVar[str] = "performance_based"

    def prepare(self) -> None:
        """Begin with no work that waits."""
        self._work_s: dict[str, float] = {}
        self._waiting_s = 0.0
        self._whole_s = 0.0
        self._mean_s = 0.0

    def order(self, task: Task) -> Order:
        """Put the longest first."""
        return (-self.history.expected_s(task.spec),)

    def sort(self, task: Task) -> str:
        """Types of tasks are scored apart, and so are long and short ones."""
        return f"{frexp(self.history.expected_s(task.spec))[1]} {type_of(task.spec)}"

    def added(self, task: Task) -> None:
        """Count the work that waits."""
        super().added(task)
        name = task.spec.task_id
        self._work_s[name] = expected_s = self.history.expected_s(task.spec)
        self._waiting_s += expected_s

    def removed(self, task_id: str) -> None:
        """Count the work that waits."""
        super().removed(task_id)
        self._waiting_s -= self._work_s.pop(task_id, 0.0)
        if not self._work_s:
            self._waiting_s = 0.0

    def begin(self) -> None:
        """Find how long the whole queue takes when all workers share it."""
        speed = sum(
            worker.capabilities.speed * worker.slots
            for worker in self.workers.values()
            if worker.takes_more
        )
        self._whole_s = self._waiting_s / speed if speed else 0.0
        self._mean_s = self._waiting_s / max(len(self.queue), 1)

    def score(self, task: Task, place: Place) -> Score | None:
        """Return how much slower a worker is with this type than the quickest."""
        spec, kind = task.spec, type_of(task.spec)
        if self._is_untried(task, place):
            return None
        outlook, size_s = self.outlook(task), self.history.size_s(spec)
        share, quickest = self.history.share(kind, place.worker).share, outlook.quickest
        slots, mean = outlook.quicker(share / CLEARLY)
        if slots:
            if share * size_s > self._whole_s + quickest * size_s:
                return None
            waves = len(self.queue) / slots + 0.5
            if quickest + waves * mean < share:
                return None
        return (share / max(quickest, 1e-9), place.held / place.worker.slots)

    def _is_untried(self, task: Task, place: Place) -> bool:
        """Tell whether a long task waits for a worker to be tried with a short one."""
        return (
            self._work_s[task.spec.task_id] > LONG * self._mean_s
            and not self.history.knows(type_of(task.spec), place.worker_id)
            and self.waited_s(task) < TRY_S
        )

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return that a worker is untried, or slow."""
        if self._is_untried(task, place):
            reason = "has done none of its type yet, and is tried with a short task before a long"
            return Wait(reason, task.ready_ns + seconds(TRY_S))
        taken_s = self.history.predict_s(task.spec, place.worker)
        reason = f"should take {taken_s:.0f} s; a quicker one ends it sooner, the wait included"
        return Wait(reason)

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        seen = self.history.share(type_of(task.spec), place.worker).seen
        taken_s = self.history.predict_s(task.spec, place.worker)
        basis = (
            f"by {seen} earlier attempts there" if seen else "by its speed; it had none such yet"
        )
        longest = (
            f"It is the longest that fits: {self.history.expected_s(task.spec):.1f} s expected on "
            "a worker of speed 1."
        )
        worker = (
            f"Worker {place.worker_id} should take {taken_s:.1f} s, {basis}; "
            f"{score[-2]:.2f} times what the quickest one takes."
        )
        return (longest, worker)
