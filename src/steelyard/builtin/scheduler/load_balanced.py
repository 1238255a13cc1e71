"""Scheduler `load_balanced`: tasks as they came, on the worker with the lowest load."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler


def load_with(task: Task, place: Place) -> float:
    """Return the largest share in use, of slots, cores, memory or GPUs, with a task."""
    needs, has, room = task.spec.requirements, place.worker.capabilities, place.room
    load = (place.held + 1) / max(place.worker.slots, 1)
    if has.cpu_cores:
        load = max(load, 1 - (room.cpu_cores - needs.cpu_cores) / has.cpu_cores)
    if has.memory_gb:
        load = max(load, 1 - (room.memory_gb - needs.memory_gb) / has.memory_gb)
    if has.gpus:
        load = max(load, 1 - (room.gpus - needs.gpus) / len(has.gpus))
    return load


class LoadScheduler(QueueScheduler):
    """Fills workers evenly: by shares of what each has, not by counts of tasks."""

    strategy: ClassVar[str] = "load_balanced"

    def score(self, task: Task, place: Place) -> Score:
        """Return the load that a worker would have."""
        return (load_with(task, place), place.held)

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        lowest = (
            f"Worker {place.worker_id} has the lowest load with it, {score[-2]:.0%} of what it "
            f"has; {place.held} of its {place.worker.slots} slots are taken then."
        )
        return ("It was the first in the queue that fits.", lowest)
