"""The base class of scheduler plugins: options, strategies, history and metrics are there."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from steelyard.dialects.distributed_testing.plugin_architecture import Plugin, PluginType
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_interface import (
    SchedulerPluginInterface,
    SchedulingStrategy,
)

__all__ = ["BaseSchedulerPlugin"]

_SUCCEEDED = "succeeded"


class BaseSchedulerPlugin(Plugin, SchedulerPluginInterface):
    """A subclass writes `schedule_task`, sync or async, and nothing else.

    Args:
        name, version: together they are the id, `name-version`.
        description: one line for people.
        strategies: what it can be set to; the first is set.

    Attributes:
        config: `max_tasks_per_worker` (5), `history_window_size` (100), `detailed_logging`
            (False), and what a subclass adds.
        strategy: the one that is set.
        performance_history: by type of task and worker, how long the last attempts took that
            succeeded, in seconds.
    """

    def __init__(
        self,
        name: str,
        version: str = "1.0.0",
        description: str = "",
        strategies: Iterable[SchedulingStrategy] = (),
    ) -> None:
        super().__init__(name, version, PluginType.SCHEDULER)
        self.description = description
        self.strategies = list(strategies) or [SchedulingStrategy.CUSTOM]
        self.strategy = self.strategies[0]
        self.config = {
            "max_tasks_per_worker": 5,
            "history_window_size": 100,
            "detailed_logging": False,
        }
        self.coordinator: Any = None
        self.performance_history: dict[tuple[str, str], deque[float]] = {}
        self._ended = {"completed": 0, "failed": 0}

    async def initialize(self, coordinator: Any) -> bool:
        """Keep the coordinator."""
        self.coordinator = coordinator
        return True

    async def shutdown(self) -> bool:
        """Let go of the coordinator."""
        self.coordinator = None
        return True

    def get_supported_strategies(self) -> list[SchedulingStrategy]:
        """Return the strategies that it can be set to."""
        return list(self.strategies)

    def set_strategy(self, strategy: SchedulingStrategy | str) -> bool:
        """Go on with a strategy; False when it is none of the supported."""
        for each in self.strategies:
            if strategy in (each, each.value):
                self.strategy = each
                return True
        return False

    def update_task_status(self, task_id: str, status: str, data: Mapping[str, Any]) -> None:
        """Keep how long an attempt took that succeeded."""
        if status != _SUCCEEDED:
            self._ended["failed"] += 1
            return
        self._ended["completed"] += 1
        key = (str(data.get("type", "")), str(data.get("worker_id", "")))
        taken = self.performance_history.setdefault(key, deque())
        taken.append(float(data.get("execution_time", 0.0)))
        while len(taken) > int(self.config["history_window_size"]):
            taken.popleft()

    def get_metrics(self) -> dict[str, Any]:
        """Return counts, and the mean seconds of each type of task on each worker."""
        return {
            "name": self.name,
            "strategy": self.strategy.value,
            "tasks_completed": self._ended["completed"],
            "tasks_failed": self._ended["failed"],
            "mean_seconds": {
                f"{kind} on {worker}": sum(taken) / len(taken)
                for (kind, worker), taken in self.performance_history.items()
            },
        }

    def get_info(self) -> dict[str, Any]:
        """Return what the plugin says of itself."""
        return {
            **super().get_info(),
            "description": self.description,
            "strategies": [each.value for each in self.strategies],
            "strategy": self.strategy.value,
        }
