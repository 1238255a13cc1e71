"""The coordinator by this dialect's names; it keeps nothing of its own."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.errors import RefusedError
from steelyard.app.fleet.metrics import FleetMetrics
from steelyard.app.fleet.settings import DEFAULT_SCHEDULER, FleetSettings
from steelyard.dialects.distributed_testing.plugin_architecture import HookType, PluginManager
from steelyard.dialects.distributed_testing.words import (
    TYPE_LABEL,
    capabilities_of,
    in_words,
    requirements_of,
)
from steelyard.dialects.distributed_testing.workers import RegisteredWorkers
from steelyard.domain.fleet.model import Limits, Task, TaskSpec
from steelyard.runtime.plugin_host import PluginHost

ENGINE = "registered"
HEARTBEAT_S = 0.5
LIMITS = Limits(heartbeat_s=HEARTBEAT_S, silent_s=2.0)

_log = logging.getLogger(__name__)


class DistributedTestingCoordinator:
    """Runs tests on workers that are registered with it, and tells plugins what happens.

    Args:
        db_path: where it remembers: a SQLite file, a URL of PostgreSQL, or a path that ends in
            `.duckdb`, beside which the ledger lies. Files of attempts lie beside it too.
        enable_plugins: load the plugins in `plugin_dirs` at the start, and tell them.
        plugin_dirs: where plugins lie; the directory `plugins` when None.
        scheduler: a plugin of kind `scheduler`.
        limits: when silence means what.

    Attributes:
        fleet: the coordinator itself.
        host: knows all plugins, schedulers among them.
        plugin_manager: its plugins; None without `enable_plugins`.
    """

    def __init__(
        self,
        db_path: str | Path = "benchmark_db.duckdb",
        enable_plugins: bool = True,
        plugin_dirs: Iterable[str | Path] | None = None,
        *,
        scheduler: str = DEFAULT_SCHEDULER,
        limits: Limits = LIMITS,
    ) -> None:
        place = Path(str(db_path)) if "://" not in str(db_path) else Path("fleet")
        directory = place.with_name(f"{place.stem}.fleet")
        self.workers = RegisteredWorkers(directory / "workers", limits.heartbeat_s)
        settings = FleetSettings(
            ledger=str(db_path), directory=str(directory), engines={}, scheduler=scheduler,
            limits=limits,
        )  # fmt: skip
        places = ["plugins"] if plugin_dirs is None else [str(each) for each in plugin_dirs]
        there = [each for each in places if Path(each).is_dir()]
        self.host = PluginHost.standard(there if enable_plugins else ())
        self.fleet = Coordinator(settings, host=self.host, engines={ENGINE: self.workers})
        self.plugin_manager = (
            PluginManager(self, places, host=self.host) if enable_plugins else None
        )
        self.fleet.listen(self._tell_plugins)

    async def start(self) -> None:
        """Load the plugins and begin.

        Raises:
            SteelyardError: the ledger can't be used, or another coordinator leads.
        """
        if self.plugin_manager is not None:
            for name in await self.plugin_manager.discover_plugins():
                await self.plugin_manager.load_plugin(name)
        await self.fleet.start()

    async def stop(self) -> None:
        """Tell the plugins, end workers and what they run, and shut the plugins down."""
        await self.fleet.stop()
        if self.plugin_manager is not None:
            for plugin_id in reversed(self.plugin_manager.get_all_plugins()):
                await self.plugin_manager.unload_plugin(plugin_id)

    # Workers

    async def register_worker(
        self, worker_id: str, capabilities: Mapping[str, Any], *, slots: int = 1
    ) -> None:
        """Start a worker on this machine that is said to have these capabilities.

        Raises:
            UsageError: the name is taken or none, or a capability is not known.
        """
        await self.workers.add(worker_id, capabilities_of(capabilities), slots)

    async def unregister_worker(self, worker_id: str, reason: str = "unregistered") -> None:
        """Let a worker go; what it was at goes back.

        Raises:
            UnknownWorkerError: there is none.
        """
        await self.fleet.dismiss(worker_id, reason)
        await self.workers.remove(worker_id)

    # Tasks

    async def create_task(
        self,
        task_id: str,
        task_type: str,
        config: Mapping[str, Any],
        *,
        requirements: Mapping[str, Any] | None = None,
        priority: int = 0,
        user: str = "",
        project: str = "",
        timeout_s: float = 3600.0,
        retries: int = 0,
    ) -> str:
        """Submit a task; returns its id.

        Args:
            task_id: empty to have it named.
            task_type: a word of yours, or a task kind such as `pytest`.
            config: what carries it out: `function` with `args`, `kwargs` and `path`; or `argv`, or
                `shell`; or the payload of the task kind that `task_type` names.
            requirements: what its worker must have, in the words of capabilities.
            priority: higher first.
            user: whose it is.
            project: what it is for.
            timeout_s: how long an attempt may run.
            retries: further tries when it fails.

        Raises:
            RefusedError: it can't be taken; the message says why.
            UsageError: a requirement is not known.
        """
        spec = TaskSpec(
            task_id=task_id, kind=_kind_of(task_type, config), payload=dict(config),
            labels={TYPE_LABEL: task_type}, requirements=requirements_of(requirements or {}),
            priority=priority, user=user, project=project, timeout_s=timeout_s, retries=retries,
        )  # fmt: skip
        submitted, *_ = await self.fleet.submit([spec])
        if submitted.refusal:
            raise RefusedError(f"Task {task_id} was not taken: {submitted.refusal}")
        return submitted.task_id

    async def cancel_task(self, task_id: str, reason: str = "cancelled on request") -> None:
        """End a task.

        Raises:
            UnknownTaskError: there is none.
            RefusedError: it has ended.
        """
        await self.fleet.cancel(task_id, reason)

    async def get_task(self, task_id: str) -> Task:
        """Return a task as it stands.

        Raises:
            UnknownTaskError: there is none.
        """
        return await self.fleet.task(task_id)

    async def wait_for_tasks(self, task_ids: Iterable[str]) -> dict[str, Task]:
        """Wait until tasks have ended, and plugins were told of that; return them by id."""
        ended = await self.fleet.ended(task_ids)
        await self.fleet.hooks_settled()
        return ended

    # Schedulers

    async def use_scheduler(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        """Go on with another scheduler, at once.

        Raises:
            PluginError: there is none of that name, or it can't be used.
            ConfigError: its options are wrong.
        """
        await self.fleet.use_scheduler(name, config)

    def metrics(self) -> FleetMetrics:
        """Return how the fleet does; what the scheduler measures is among it."""
        return self.fleet.metrics()

    # Hooks

    async def fire(self, event: str, /, **arguments: Any) -> None:
        """Tell plugins of an event of one's own.

        Raises:
            UsageError: it is one of ours, or an argument is no plain value.
        """
        await self.fleet.fire(event, **arguments)

    async def _tell_plugins(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.plugin_manager is None:
            return
        match event:
            case HookType.COORDINATOR_STARTUP.value | HookType.COORDINATOR_SHUTDOWN.value:
                arguments = (self,)
            case HookType.WORKER_REGISTERED.value:
                arguments = (arguments[0], in_words(arguments[1]))
            case HookType.TASK_CREATED.value:
                data = dict(arguments[1])
                data["type"] = data["labels"].get(TYPE_LABEL, data["type"])
                arguments = (arguments[0], data)
            case _:
                pass  # the rest is told as it is
        await self.plugin_manager.invoke_hook(event, *arguments)


def _kind_of(task_type: str, config: Mapping[str, Any]) -> str:
    if "function" in config:
        return "callable"
    return "command" if "argv" in config or "shell" in config else task_type
