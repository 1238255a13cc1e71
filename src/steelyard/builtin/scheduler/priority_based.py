"""Scheduler `priority_based`: the highest priority first, on the fastest worker."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler


class PriorityScheduler(QueueScheduler):
    """A task waits for all of higher priority that fit the same workers; of equals, as they came.

    Nothing ages: a low priority can wait for as long as higher ones come. `custom` has ageing.
    """

    strategy: ClassVar[str] = "priority_based"

    def order(self, task: Task) -> Order:
        """Return the priority, the highest first."""
        return (-task.spec.priority,)

    def score(self, task: Task, place: Place) -> Score:
        """Prefer a fast worker, and of such the one with the fewest leases."""
        return (-place.worker.capabilities.speed, place.held)

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        speed = place.worker.capabilities.speed
        first = (
            f"Its priority is {task.spec.priority}; no task that fits has waited with a higher "
            "one, or longer with the same."
        )
        fastest = f"Worker {place.worker_id} was the fastest free one that fits (speed {speed:g})."
        return (first, fastest)
