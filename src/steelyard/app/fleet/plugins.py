"""Who listens to a fleet: plugins of its directories, and the tracker where that is asked for."""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from steelyard.app.fleet.hooks import Announcer, fleet_events
from steelyard.app.fleet.reading import FleetReader
from steelyard.app.fleet.settings import FleetSettings
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import Lifecycle

if TYPE_CHECKING:
    from steelyard.app.fleet.tracking import TaskRuns

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
            if spec.authoring_style == STYLE and spec.kind != "scheduler"  # chosen, not told
        }
        if not specs:
            return {}  # to be asked to start none is to the lifecycle to be asked for all
        failed = await self._lifecycle.start_all({key: {} for key in specs})
        for key, spec in specs.items():
            plugin = self._lifecycle.instance(*key)
            if key not in failed and plugin is not None:  # somebody else may have started it
                self._bridge(spec, plugin)
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


def task_runs(
    settings: FleetSettings, reader: FleetReader, announcer: Announcer
) -> "TaskRuns | None":
    """Return what writes a run of the tracker for each task; None where no store is named."""
    if settings.track is None:
        return None
    # The tracker is loaded where it is asked for, and nowhere else.
    from steelyard.app.fleet.tracking import TaskRuns

    runs = TaskRuns(settings.track, reader)
    announcer.listen(runs.hear)
    return runs
