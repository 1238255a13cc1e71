"""Chooses, changes and watches the scheduler of a coordinator."""

import inspect
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steelyard.app.fleet.schedulers import class_name
from steelyard.dialects.distributed_testing.one_task import place_one
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_interface import (
    SchedulingStrategy,
)
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_registry import (
    SchedulerPluginRegistry,
)
from steelyard.domain.fleet.ports import Scheduler
from steelyard.kernel.errors import SteelyardError, did_you_mean

__all__ = ["SchedulerCoordinator"]

_log = logging.getLogger(__name__)


class SchedulerCoordinator:
    """Switches schedulers while a coordinator runs: the next one is told of the whole queue.

    Args:
        coordinator: whose scheduler it is, with `use_scheduler(name, options)`. Without such a one
            (None, say) the schedulers work for `schedule_task` alone.
        plugin_dirs: where else to look for schedulers.
        registry: the schedulers there are; made from `plugin_dirs` by default.

    Attributes:
        active: the name of the active scheduler, None before there is one.
    """

    def __init__(
        self,
        coordinator: Any = None,
        plugin_dirs: Iterable[str | Path] = (),
        *,
        registry: SchedulerPluginRegistry | None = None,
    ) -> None:
        self.coordinator = coordinator
        self.registry = registry or SchedulerPluginRegistry(
            plugin_dirs, host=getattr(coordinator, "host", None)
        )
        self.active: str | None = None
        self.scheduler: Scheduler | None = None
        self._config: dict[str, Any] = {}

    async def initialize(self) -> bool:
        """Begin with the scheduler of strategy `round_robin`, unless one is active."""
        if self.active is not None:
            return True
        return await self.activate_scheduler("round_robin")

    async def shutdown(self) -> bool:
        """Let go of the active scheduler; the coordinator keeps it."""
        self.active, self.scheduler = None, None
        return True

    def get_available_plugins(self) -> list[str]:
        """Return the names of all schedulers that can be activated."""
        return self.registry.get_available_plugins()

    async def activate_scheduler(
        self, plugin_name: str, config: Mapping[str, Any] | None = None
    ) -> bool:
        """Go on with another scheduler, at once; False, and a line in the log, when it can't be."""
        try:
            spec = self.registry.get_spec(plugin_name)
            await self._use(spec.name, dict(config or {}))
        except SteelyardError as error:
            _log.error("%s", error)
            return False
        self.active, self._config = class_name(spec), dict(config or {})
        return True

    async def set_strategy(self, strategy: SchedulingStrategy | str) -> bool:
        """Have the active scheduler go on with a strategy; False when it has no such."""
        wanted = strategy.value if isinstance(strategy, SchedulingStrategy) else str(strategy)
        if self.active is None:
            _log.error("No scheduler is active; activate_scheduler(%r) has that strategy", wanted)
            return False
        try:
            known = self.registry.get_strategies(self.active)
            if wanted not in known:
                _log.error(
                    "%s has no strategy %r; it has %s. %s", self.active, wanted, ", ".join(known),
                    did_you_mean(wanted, known),
                )  # fmt: skip
                return False
            if known == [wanted]:
                return True
            return await self.activate_scheduler(self.active, {**self._config, "strategy": wanted})
        except SteelyardError as error:
            _log.error("%s", error)
            return False

    def get_metrics(self) -> dict[str, Any]:
        """Return what the active scheduler measures, and its name; empty without one."""
        if self.active is None:
            return {}
        return {"active_scheduler": self.active, **self._measured()}

    async def schedule_task(
        self,
        task_id: str,
        task_data: Mapping[str, Any],
        available_workers: Mapping[str, Mapping[str, Any]],
        worker_load: Mapping[str, int],
    ) -> str | None:
        """Return the worker that the active scheduler would give a task, None for none."""
        if self.scheduler is None:
            return None
        return place_one(self.scheduler, task_id, task_data, available_workers, worker_load)

    async def _use(self, name: str, config: dict[str, Any]) -> None:
        self.scheduler = self.registry.create(name, config)
        use = getattr(self.coordinator, "use_scheduler", None)
        if use is not None:
            done = use(name, config)
            if inspect.isawaitable(done):
                await done

    def _measured(self) -> dict[str, Any]:
        metrics = getattr(self.coordinator, "metrics", None)
        if metrics is not None and hasattr(self.coordinator, "use_scheduler"):
            return dict(metrics().scheduler_metrics)
        return dict(self.scheduler.metrics()) if self.scheduler is not None else {}
