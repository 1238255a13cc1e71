"""Scheduler `hardware_match`: what asks for much first, on the worker with the least to spare."""

from typing import ClassVar

from steelyard.domain.fleet.model import Task, seconds
from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.domain.fleet.scheduling.passes import Score, asks_for_much
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.waits import Wait, gpus_kept


def spare(needs: Requirements, has: Capabilities) -> Score:
    """Return what a worker has that a task does not ask for, the scarcest first."""
    gpu_gb = max((gpu.memory_gb for gpu in has.gpus), default=0.0)
    extras = len(has.accelerators) + len(has.runtimes) + len(has.browsers)
    asked = len(needs.accelerators) + len(needs.runtimes) + len(needs.browsers)
    return (
        max(len(has.gpus) - needs.gpus, 0) if not needs.gpus else 0,
        gpu_gb - needs.gpu_memory_gb,
        len(has.gpus) - needs.gpus,
        extras - asked,
        has.memory_gb - needs.memory_gb,
        has.cpu_cores - needs.cpu_cores,
    )


class HardwareScheduler(QueueScheduler):
    """Keeps special hardware for those who ask for it.

    A task that asks for no GPU leaves workers with GPUs alone while another worker, busy or not,
    would do for it; after `spill_after_s` of waiting it takes what there is.
    """

    strategy: ClassVar[str] = "hardware_match"

    def __init__(
        self,
        *,
        max_tasks_per_worker: int = 0,
        history_window_size: int = 100,
        detailed_logging: bool = False,
        spill_after_s: float = 3600.0,
    ) -> None:
        super().__init__(
            max_tasks_per_worker=max_tasks_per_worker,
            history_window_size=history_window_size,
            detailed_logging=detailed_logging,
        )
        self.spill_after_s = spill_after_s

    def order(self, task: Task) -> Order:
        """Put first what asks for the scarcest."""
        return tuple(-part for part in asks_for_much(task.spec.requirements))

    def score(self, task: Task, place: Place) -> Score | None:
        """Return what would lie idle."""
        needs, has = task.spec.requirements, place.worker.capabilities
        if has.gpus and not needs.gpus and self.waited_s(task) < self.spill_after_s:
            plain = any(not worker.capabilities.gpus for worker in self.able(task))
            if plain:
                return None
        return spare(needs, has)

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return whom the GPUs of a worker are kept for."""
        plain = [worker for worker in self.able(task) if not worker.capabilities.gpus]
        return gpus_kept(plain, task.ready_ns + seconds(self.spill_after_s))

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        needs, has = task.spec.requirements, place.worker.capabilities
        gpus = len(has.gpus)
        least = (
            f"Worker {place.worker_id} has the least to spare: {gpus} GPUs for {needs.gpus}, "
            f"{has.memory_gb:g} GB of memory for {needs.memory_gb:g}, "
            f"{has.cpu_cores:g} cores for {needs.cpu_cores:g}."
        )
        return ("No waiting task that fits asks for more.", least)
