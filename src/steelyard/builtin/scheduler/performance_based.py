"""Scheduler `performance_based`: by what earlier attempts took, so that all is done soonest."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler

CLEARLY = 1.2
"""By how much a worker must be quicker to be waited for."""


class PerformanceScheduler(QueueScheduler):
    """The longest task first, on the worker that was the quickest with its like.

    A worker gets no task that a quicker one would end sooner, the wait for it included: what is
    left at the end must not hang on a slow one. The wait is thought to be as long as the tasks in
    the queue take when the quicker workers share them.
    """

    strategy: ClassVar[str] = "performance_based"

    def order(self, task: Task) -> Order:
        """Put the longest first."""
        return (-self.history.expected_s(task.spec),)

    def sort(self, task: Task) -> str:
        """Types of tasks are scored apart."""
        return type_of(task.spec)

    def score(self, task: Task, place: Place) -> Score | None:
        """Return how much slower a worker is with this type than the quickest."""
        outlook = self.outlook(task)
        share = self.history.share(type_of(task.spec), place.worker).share
        slots, mean = outlook.quicker(share / CLEARLY)
        if slots:
            waves = len(self.queue) / slots + 0.5
            if outlook.quickest + waves * mean < share:
                return None
        return (share / max(outlook.quickest, 1e-9), place.held / place.worker.slots)

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
