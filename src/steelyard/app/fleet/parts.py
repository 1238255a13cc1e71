"""The plugins that a coordinator is composed of, made by name."""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.app.fleet.schedulers import class_name, coordinators_scheduler
from steelyard.app.fleet.settings import FleetSettings
from steelyard.domain.fleet.ports import Engine, Scheduler, TaskKind
from steelyard.kernel.errors import SteelyardError, did_you_mean
from steelyard.runtime.plugin_host import PluginHost


class SchedulerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduler that can be chosen.

    Attributes:
        active: it is the one that chooses now; `options` are then its own.
        problem: why it can't be used; empty when it can, as far as is known.
    """

    name: str
    description: str = ""
    active: bool = False
    options: dict[str, Any] = {}
    problem: str = ""


class Parts:
    """Makes schedulers, engines and task kinds.

    Args:
        host: knows the plugins.
        settings: their options.
        engines: made by the caller, by name; used in every reign.
    """

    def __init__(
        self, host: PluginHost, settings: FleetSettings, engines: Mapping[str, Engine]
    ) -> None:
        self.host = host
        self._given = dict(engines)
        self._settings = settings
        self._kinds: dict[str, TaskKind] = {}

    def scheduler(self, name: str, options: dict[str, Any]) -> Scheduler:
        """Return a new scheduler.

        Raises:
            PluginError: there is none of that name, or it can't be used.
            ConfigError: its options are wrong.
        """
        return coordinators_scheduler(self.host, name, options)

    def schedulers(self, active: str, options: dict[str, Any]) -> tuple[SchedulerInfo, ...]:
        """Return all that can be chosen."""
        return tuple(
            SchedulerInfo(
                name=spec.name,
                description=spec.description,
                active=active in (spec.name, class_name(spec)),
                options=options if active in (spec.name, class_name(spec)) else {},
                problem=self.host.why(spec.kind, spec.name),
            )
            for spec in self.host.specs("scheduler")
        )

    def engines(self) -> dict[str, Engine]:
        """Return new engines; they are told the fleet's directory and where plugins are.

        Raises:
            PluginError: there is none of a name, or it can't be used.
            ConfigError: its options are wrong.
        """
        made = dict(self._given)
        for name, options in self._settings.engines.items():
            cls = self.host.load("engine", name)
            given = dict(options)
            takes = inspect.signature(cls).parameters
            if "directory" in takes:
                given.setdefault("directory", self._settings.directory)
            if "plugin_dirs" in takes:
                given.setdefault("plugin_dirs", list(self._settings.plugin_dirs))
            if "task_kinds" in takes:
                given.setdefault("task_kinds", dict(self._settings.task_kinds))
            made[name] = self.host.create("engine", name, **given)
        return made

    def task_kind(self, name: str) -> TaskKind:
        """Return the task kind of a name, always the same.

        Raises:
            PluginError: there is none of that name, or it can't be used.
        """
        if name not in self._kinds:
            options = self._settings.task_kinds.get(name, {})
            self._kinds[name] = self.host.create("task_kind", name, **options)
        return self._kinds[name]

    def why_no_kind(self, name: str) -> str:
        """Return why there are no tasks of a kind, or nothing."""
        known = self.host.names("task_kind")
        if name not in known:
            hint = did_you_mean(name, known)
            return f"there is no task kind {name!r}; installed: {', '.join(known)}. {hint}".strip()
        try:
            self.task_kind(name)
        except SteelyardError as error:
            return str(error)
        return ""
