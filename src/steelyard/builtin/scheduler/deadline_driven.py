"""Scheduler `deadline_driven`: who must start first goes first."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.waits import Wait, too_slow
from steelyard.kernel.units import NS_PER_S

ON_TIME, NO_DEADLINE, LATE = 0.0, 1.0, 2.0


class DeadlineScheduler(QueueScheduler):
    """The latest start first that still makes a deadline; a lost one takes nobody else's time.

    Tasks without a deadline come after those that can still make theirs, and before those that
    can't. A worker that is too slow for a deadline is left alone while a quicker one could make it.
    """

    strategy: ClassVar[str] = "deadline_driven"

    def order(self, task: Task) -> Order:
        """Return the latest start that should still make the deadline, the earliest first."""
        deadline_ns = task.spec.deadline_ns
        if not deadline_ns:
            return (NO_DEADLINE, 0)
        return (ON_TIME, deadline_ns - self.history.expected_s(task.spec) * NS_PER_S)

    def sort(self, task: Task) -> str:
        """Types of tasks are scored apart, and so are those with a deadline."""
        return f"{bool(task.spec.deadline_ns)} {type_of(task.spec)}"

    def later(self, task: Task, order: Order) -> Order | None:
        """Send to the end what can't make its deadline on the quickest worker."""
        if order[0] != ON_TIME or self._left_s(task) >= self._quickest_s(task):
            return None
        return (LATE, *order[1:])

    def score(self, task: Task, place: Place) -> Score | None:
        """Return how long a worker takes; None where it takes too long and another does not."""
        taken_s = self.history.predict_s(task.spec, place.worker)
        if task.spec.deadline_ns:
            left_s = self._left_s(task)
            if taken_s > left_s >= self._quickest_s(task):
                return None
        return (taken_s, place.held / place.worker.slots)

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return that a worker is too slow."""
        taken_s = self.history.predict_s(task.spec, place.worker)
        return too_slow(taken_s, task.spec.deadline_ns, self.now_ns)

    def _left_s(self, task: Task) -> float:
        return (task.spec.deadline_ns - self.now_ns) / NS_PER_S

    def _quickest_s(self, task: Task) -> float:
        return self.outlook(task).quickest * self.history.size_s(task.spec)

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        taken_s = score[-2]
        if not task.spec.deadline_ns:
            first = "It has no deadline, and no task with one that can be met fits here."
        elif taken_s <= self._left_s(task):
            first = f"Its deadline is in {self._left_s(task):.0f} s, the tightest of all that fit."
        else:
            first = "Its deadline can't be met any more, and none that can fits here."
        return (first, f"Worker {place.worker_id} should take {taken_s:.1f} s.")
