"""What a scheduler plugin must have, and the strategies there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import Any

__all__ = ["SchedulerPluginInterface", "SchedulingStrategy"]


class SchedulingStrategy(Enum):
    """The nine strategies; the value is the name of the scheduler of ours that has it."""

    ROUND_ROBIN = "round_robin"
    PRIORITY_BASED = "priority_based"
    HARDWARE_MATCH = "hardware_match"
    PERFORMANCE_BASED = "performance_based"
    DEADLINE_DRIVEN = "deadline_driven"
    ENERGY_EFFICIENT = "energy_efficient"
    LOAD_BALANCED = "load_balanced"
    FAIR_SHARE = "fair_share"
    CUSTOM = "custom"


class SchedulerPluginInterface(ABC):
    """Places tasks one at a time."""

    @abstractmethod
    def schedule_task(
        self,
        task_id: str,
        task_data: Mapping[str, Any],
        available_workers: Mapping[str, Mapping[str, Any]],
        worker_load: Mapping[str, int],
    ) -> Any:
        """Return the id of a worker, or None to let the task wait; may be a coroutine.

        Args:
            task_id: of a task that waits.
            task_data: `type`, `user`, `project`, `priority`, `deadline`, `requirements` and more.
            available_workers: capabilities of the workers that fit and have room, by id.
            worker_load: how many tasks each of these holds.
        """

    @abstractmethod
    def get_supported_strategies(self) -> list[SchedulingStrategy]:
        """Return the strategies that it can be set to."""

    @abstractmethod
    def set_strategy(self, strategy: SchedulingStrategy | str) -> bool:
        """Go on with a strategy; False when it is none of the supported."""

    @abstractmethod
    def update_task_status(self, task_id: str, status: str, data: Mapping[str, Any]) -> Any:
        """Take note of how an attempt ended; `data` has `worker_id` and `execution_time`."""

    @abstractmethod
    def get_metrics(self) -> dict[str, Any]:
        """Return what it measures, plain values."""
