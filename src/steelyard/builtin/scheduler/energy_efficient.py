"""Scheduler `energy_efficient`: each task where it costs the least energy."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task, seconds
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.domain.fleet.scheduling.outlook import power_w
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.waits import Wait


class EnergyScheduler(QueueScheduler):
    """A task waits for a thrifty worker rather than run on one that needs much more energy for it.

    Energy is a worker's `power_w` over its slots times how long the task should take there. A
    worker above `tolerance` times the best one, busy or not, is left idle until the task has waited
    for `patience_s`. Workers of unknown power come last.
    """

    strategy: ClassVar[str] = "energy_efficient"

    def __init__(
        self,
        *,
        max_tasks_per_worker: int = 0,
        history_window_size: int = 100,
        detailed_logging: bool = False,
        tolerance: float = 1.25,
        patience_s: float = 3600.0,
    ) -> None:
        super().__init__(
            max_tasks_per_worker=max_tasks_per_worker,
            history_window_size=history_window_size,
            detailed_logging=detailed_logging,
        )
        self.tolerance = tolerance
        self.patience_s = patience_s

    def sort(self, task: Task) -> str:
        """Types of tasks are scored apart."""
        return type_of(task.spec)

    def score(self, task: Task, place: Place) -> Score | None:
        """Return the energy; None where another worker needs much less."""
        share = self.history.share(type_of(task.spec), place.worker).share
        energy_j = power_w(place.worker) * share * self.history.size_s(task.spec)
        if self.waited_s(task) < self.patience_s:
            least_j = self.outlook(task).thriftiest_w * self.history.size_s(task.spec)
            if energy_j > least_j * self.tolerance:
                return None
        return (energy_j, -place.held)

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return how much more energy a worker would need."""
        share = self.history.share(type_of(task.spec), place.worker).share
        needed_w, least_w = power_w(place.worker) * share, self.outlook(task).thriftiest_w
        if needed_w == float("inf"):
            reason = "what it draws is unknown, and others' is known"
        else:
            reason = f"would need {needed_w / least_w:.1f} times the energy of the thriftiest one"
        return Wait(f"{reason}, busy now or not", task.ready_ns + seconds(self.patience_s))

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        energy_j = score[-2]
        if energy_j == float("inf"):
            second = f"What worker {place.worker_id} draws is unknown; no other was free."
        else:
            second = (
                f"Worker {place.worker_id} should need {energy_j / 1000:.1f} kJ for it, within "
                f"{self.tolerance:g} times the least."
                if self.waited_s(task) < self.patience_s
                else f"It waited longer than {self.patience_s:g} s; worker {place.worker_id} "
                f"should need {energy_j / 1000:.1f} kJ."
            )
        return ("It was the first in the queue that fits.", second)
