"""Finds schedulers, ours and those in plugin directories, and makes them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steelyard.app.fleet.schedulers import (
    KIND,
    class_name,
    find_scheduler,
    make_scheduler,
    strategies_of,
)
from steelyard.domain.fleet.ports import Scheduler
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.plugin_host import PluginHost

__all__ = ["SchedulerPluginRegistry"]


class SchedulerPluginRegistry:
    """The schedulers of one plugin host, by the names of their classes.

    Args:
        plugin_dirs: where else to look.
        host: the plugin host to use; by default one with our own plugins and installed ones.
    """

    def __init__(
        self, plugin_dirs: Iterable[str | Path] = (), *, host: PluginHost | None = None
    ) -> None:
        self.host = host if host is not None else PluginHost.standard(plugin_dirs)

    def get_available_plugins(self) -> list[str]:
        """Return the names of all schedulers that there are."""
        return [class_name(spec) for spec in self.host.specs(KIND)]

    def get_spec(self, name: str) -> PluginSpec:
        """Return what is known of a scheduler.

        Raises:
            PluginError: there is none of that name.
        """
        return find_scheduler(self.host, name)

    def get_strategies(self, name: str) -> list[str]:
        """Return the strategies that a scheduler can be set to.

        Raises:
            PluginError: there is none of that name, or its class can't be loaded.
        """
        spec = self.get_spec(name)
        made = make_scheduler(self.host, name) if not spec.metadata.get("strategies") else None
        return list(strategies_of(spec, getattr(made, "placer", None)))

    def register_plugin(self, cls: type, name: str | None = None) -> str:
        """Add a class by hand; return its name.

        Raises:
            PluginError: the name is taken, or the class does not fit.
        """
        style = "distributed_testing" if hasattr(cls, "schedule_task") else "core"
        spec = self.host.register(KIND, name or cls.__name__, cls, authoring_style=style)
        return spec.name

    def create(self, name: str, config: Mapping[str, Any] | None = None) -> Scheduler:
        """Return a new scheduler of the whole queue.

        Raises:
            PluginError: there is none of that name, or it can't be used.
            ConfigError: `config` is wrong.
        """
        return make_scheduler(self.host, name, config)
