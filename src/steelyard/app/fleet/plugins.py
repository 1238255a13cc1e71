"""Coordinator plugins of a fleet's plugin directories: made, told of everything, and shut down."""

import logging
from functools import partial
from typing import Any

from steelyard.app.fleet.hooks import Announcer, fleet_events
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import Lifecycle

STYLE = "distributed_testing"
_log = logging.getLogger("steelyard.fleet")


class FleetPlugins:
    """The plugins that live as long as their coordinator.

    Args:
        host: knows them.
        coordinator: handed to each plugin's `initialize`.
        announcer: tells them what happens.
    """

    def __init__(self, host: PluginHost, coordinator: object, announcer: Announcer) -> None:
        self._host, self._announcer = host, announcer
        self._lifecycle = Lifecycle(host, coordinator)

    async def start(self) -> dict[str, str]:
        """Start them, the first by priority first; return why some could not be, by name."""
        specs = {
            (spec.kind, spec.name): spec
            for spec in sorted(self._host.specs(), key=lambda spec: spec.priority)
            if spec.authoring_style == STYLE
        }
        if not specs:
            return {}  # to be asked to start none is to the lifecycle to be asked for all
        failed = await self._lifecycle.start_all({key: {} for key in specs})
        for key, spec in specs.items():
            if key not in failed:
                self._bridge(spec, self._lifecycle.instance(*key))
        for (_, name), error in failed.items():
            _log.error("Plugin %s is not used: %s", name, error)
        return {name: error for (_, name), error in failed.items()}

    async def stop(self) -> None:
        """Shut them down, the last first."""
        for (_, name), error in (await self._lifecycle.stop_all()).items():
            _log.error("Plugin %s did not shut down: %s", name, error)

    def _bridge(self, spec: PluginSpec, plugin: Any) -> None:
        """Have a plugin hear every event; it knows itself which ones it listens to."""
        for event in fleet_events():
            self._announcer.table.register(
                event.name,
                partial(plugin.invoke_hook, event.name),
                plugin=spec.name,
                priority=spec.priority,
            )
