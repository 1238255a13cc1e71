"""Coordinator plugins: a class with a name, a version, a type, and callbacks on named events."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from steelyard.domain.fleet.hooks import FleetHook
from steelyard.kernel.errors import PluginError, SteelyardError, did_you_mean
from steelyard.plugins.hooks import Event, HookTable
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import PluginState
from steelyard.runtime.discovery import directory_scans
from steelyard.runtime.hook_runner import HookRunner
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import Lifecycle

__all__ = ["HookType", "Plugin", "PluginManager", "PluginType"]

_log = logging.getLogger(__name__)

_STYLE = "distributed_testing"
_LIVING = frozenset({PluginState.INITIALIZED, PluginState.STARTED, PluginState.QUARANTINED})


class PluginType(Enum):
    """What a plugin is for; the value is the core's kind of the same name."""

    SCHEDULER = "scheduler"
    TASK_EXECUTOR = "task_executor"
    REPORTER = "reporter"
    NOTIFICATION = "notification"
    MONITORING = "monitoring"
    INTEGRATION = "integration"
    SECURITY = "security"
    CUSTOM = "custom"


HookType = FleetHook
"""The coordinator's events. Events of one's own are plain text wherever a hook is named."""


class Plugin(ABC):
    """Base class of coordinator plugins.

    Args:
        name, version: together they are the id, `name-version`.
        plugin_type: what it is for.

    Attributes:
        config: options; a subclass sets its defaults here, `configure` changes them.
        enabled: while False, no callback is called.
    """

    def __init__(self, name: str, version: str, plugin_type: PluginType) -> None:
        self.name = name
        self.version = version
        self.plugin_type = plugin_type
        self.id = f"{name}-{version}"
        self.config: dict[str, Any] = {}
        self.enabled = True
        self.on_quarantine: Callable[[str], None] | None = None
        self._hooks = HookTable()
        self._runner = HookRunner(
            self._hooks, PluginBorder(), on_quarantine=lambda _, why: self._quarantined(why)
        )

    @abstractmethod
    async def initialize(self, coordinator: Any) -> bool:
        """Get ready; False means that the plugin can't be used."""

    @abstractmethod
    async def shutdown(self) -> bool:
        """Let go of everything; False means that this failed."""

    def register_hook(self, hook_type: HookType | str, callback: Callable[..., Any]) -> bool:
        """Have `callback` called at an event, ours or one's own.

        Returns False when it is registered there already, or can't be called.
        """
        event = str(hook_type)
        # Who invokes the hook decides its arguments, so none are fixed here.
        self._hooks.declare(Event(event, None))
        if any(handler.call == callback for handler in self._hooks.handlers(event)):
            return False
        try:
            self._hooks.register(event, callback, plugin=self.id)
        except PluginError as error:
            _log.error("%s", error)
            return False
        return True

    def unregister_hook(self, hook_type: HookType | str, callback: Callable[..., Any]) -> bool:
        """Forget `callback` at an event; returns False when it was not registered there."""
        return self._hooks.unregister(str(hook_type), callback)

    async def invoke_hook(self, hook_type: HookType | str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call this plugin's callbacks of an event; returns what those returned that succeeded.

        A callback that raises or hangs is logged and counted; after three failures in a row the
        plugin is quarantined.
        """
        event = str(hook_type)
        if not self.enabled or event not in self._hooks.events:
            return []
        results = await self._runner.fire(event, *args, **kwargs)
        for result in results:
            if result.error:
                _log.error("%s", result.error)
        return [result.value for result in results if not result.error]

    def configure(self, config: Any) -> bool:
        """Change options; those not named stay. Returns False when `config` is no mapping."""
        if not isinstance(config, dict):
            _log.error("Plugin %s: got %r; expected a mapping of options", self.id, config)
            return False
        self.config.update(config)
        return True

    def enable(self) -> bool:
        """Let callbacks be called (again), also after a quarantine."""
        self.enabled = True
        self._hooks.release(self.id)
        return True

    def disable(self) -> bool:
        """Keep callbacks from being called."""
        self.enabled = False
        return True

    def get_info(self) -> dict[str, Any]:
        """Return what the plugin says of itself; options are left out, they may be secret."""
        counts = self._hooks.counts.get(self.id)
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "type": self.plugin_type.value,
            "enabled": self.enabled,
            "hooks": [name for name in self._hooks.events if self._hooks.handlers(name)],
            "failures": counts.failures if counts else 0,
            "last_error": counts.last_error if counts else "",
        }

    def _quarantined(self, why: str) -> None:
        _log.error("Plugin %s is quarantined: %s", self.id, why)
        if self.on_quarantine is not None:
            self.on_quarantine(why)


class PluginManager:
    """Finds coordinator plugins in directories, loads them, and tells them of events.

    Args:
        coordinator: handed to each plugin's `initialize`.
        plugin_dirs: where to look; the directory `plugins` when None.
        host: the plugin host to use; a new one by default.
    """

    def __init__(
        self,
        coordinator: Any,
        plugin_dirs: Iterable[str | Path] | None = None,
        *,
        host: PluginHost | None = None,
    ) -> None:
        self.coordinator = coordinator
        self.plugin_dirs = [str(d) for d in plugin_dirs] if plugin_dirs is not None else ["plugins"]
        self.host = host if host is not None else PluginHost()
        self._lifecycle = Lifecycle(self.host, coordinator)

    async def discover_plugins(self) -> list[str]:
        """Return the names of the modules that hold plugins; none of them is imported."""
        for scan in directory_scans(self.plugin_dirs):
            for problem in scan.problems:
                _log.warning("%s", problem.message)
            new = (s for s in scan.specs if (s.kind, s.name) not in self.host.registry)
            self.host.registry.add_all(new, scan.problems)
        return sorted({_module(spec) for spec in self._specs()})

    async def load_plugin(self, module_name: str) -> str | None:
        """Load what a module holds and return the (first) plugin's id; None when it failed.

        Why it failed is logged, and kept by the host.
        """
        specs = [spec for spec in self._specs() if _module(spec) == module_name]
        if not specs:
            known = await self.discover_plugins()
            specs = [spec for spec in self._specs() if _module(spec) == module_name]
            if not specs:
                _log.error(
                    "Plugin module not found: got %r; looked in %s; found %s. %s",
                    module_name, self.plugin_dirs, known, did_you_mean(module_name, known),
                )  # fmt: skip
                return None
        loaded = [await self._load(spec) for spec in specs]
        return next((plugin_id for plugin_id in loaded if plugin_id is not None), None)

    async def unload_plugin(self, plugin_id: str) -> bool:
        """Shut a plugin down; False when it is unknown or its shutdown failed."""
        for spec, plugin in self._living():
            if plugin.id != plugin_id:
                continue
            try:
                await self._lifecycle.stop(spec.kind, spec.name)
            except SteelyardError as error:
                _log.error("%s", error)
                return False
            return True
        return False

    async def invoke_hook(self, hook_type: HookType | str, *args: Any, **kwargs: Any) -> list[Any]:
        """Tell every loaded plugin of an event; returns what the successful callbacks returned.

        Plugins of lower priority numbers are told first. A failing plugin harms nobody else.
        """
        results: list[Any] = []
        for _, plugin in self._living():
            results += await plugin.invoke_hook(hook_type, *args, **kwargs)
        return results

    def get_plugin(self, plugin_id: str) -> Plugin | None:
        """Return a loaded plugin by id."""
        return self.get_all_plugins().get(plugin_id)

    def get_plugins_by_type(self, plugin_type: PluginType) -> dict[str, Plugin]:
        """Return the loaded plugins of a type, by id."""
        found = self.get_all_plugins().items()
        return {id_: plugin for id_, plugin in found if plugin.plugin_type == plugin_type}

    def get_all_plugins(self) -> dict[str, Plugin]:
        """Return every loaded plugin, by id."""
        return {plugin.id: plugin for _, plugin in self._living()}

    def _specs(self) -> list[PluginSpec]:
        return [spec for spec in self.host.specs() if spec.authoring_style == _STYLE]

    def _living(self) -> Iterator[tuple[PluginSpec, Plugin]]:
        for spec in sorted(self._specs(), key=lambda s: s.priority):
            plugin = self._lifecycle.instance(spec.kind, spec.name)
            if plugin is not None and self.host.state(spec.kind, spec.name) in _LIVING:
                yield spec, plugin

    async def _load(self, spec: PluginSpec) -> str | None:
        key = (spec.kind, spec.name)
        state = self.host.state(*key)
        if state in _LIVING:
            living: Plugin | None = self._lifecycle.instance(*key)
            return living.id if living is not None else None
        if state is PluginState.FAILED:
            self.host.reset(*key)
        try:
            plugin: Plugin = await self._lifecycle.initialize(*key)
            await self._lifecycle.start(*key)
        except SteelyardError as error:
            _log.error("Failed to initialize plugin %s: %s", spec.name, error)
            return None
        plugin.on_quarantine = partial(self._quarantine, spec)
        return plugin.id

    def _quarantine(self, spec: PluginSpec, why: str) -> None:
        # One that was enabled again by hand may come here a second time.
        if self.host.state(spec.kind, spec.name) is not PluginState.QUARANTINED:
            self.host.set_state(spec.kind, spec.name, PluginState.QUARANTINED, why)


def _module(spec: PluginSpec) -> str:
    return spec.target.partition(":")[0]
