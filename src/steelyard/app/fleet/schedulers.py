"""Makes schedulers by name, whatever style they are written in."""

from collections.abc import Mapping
from typing import Any

from steelyard.domain.fleet.ports import Scheduler
from steelyard.kernel.errors import PluginError
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.fleet.guarded_scheduler import GuardedScheduler
from steelyard.runtime.fleet.task_by_task import TaskByTaskScheduler
from steelyard.runtime.plugin_host import PluginHost

KIND = "scheduler"
_STYLE = "distributed_testing"
_OURS = "steelyard.builtin."
"""Where schedulers are that need no guard: their passes are a few milliseconds."""


def class_name(spec: PluginSpec) -> str:
    """Return the name of a scheduler's class, by which it can be asked for too."""
    return spec.target.partition(":")[2].rpartition(".")[2]


def find_scheduler(host: PluginHost, name: str) -> PluginSpec:
    """Return the scheduler of a name, its own or that of its class.

    Raises:
        PluginError: there is none; the message says which there are.
    """
    for spec in host.specs(KIND):
        if name in (spec.name, class_name(spec)):
            return spec
    return host.spec(KIND, name)


def strategies_of(spec: PluginSpec, placer: object = None) -> tuple[str, ...]:
    """Return the strategies that a scheduler can be set to, the first by default."""
    stated = getattr(placer, "strategies", None) or spec.metadata.get("strategies") or ()
    return tuple(str(getattr(each, "value", each)) for each in stated)


def make_scheduler(
    host: PluginHost, name: str, options: Mapping[str, Any] | None = None
) -> Scheduler:
    """Return a new scheduler; a plugin that places one task at a time is let do all of them.

    Raises:
        PluginError: there is none of that name, or it can't be used.
        ConfigError: its options are wrong.
    """
    spec = find_scheduler(host, name)
    given = dict(options or {})
    if spec.authoring_style != _STYLE:
        made: Scheduler = host.create(KIND, spec.name, **given)
        return made
    strategy = given.pop("strategy", None)
    cls = host.load(KIND, spec.name)
    checked = host.configuration(KIND, spec.name, given)
    with host.border.crossing(f"scheduler '{spec.name}'", "start up"):
        placer: Any = cls()
        placer.configure(checked)
        if strategy is not None and not placer.set_strategy(strategy):
            known = ", ".join(strategies_of(spec, placer)) or "none"
            raise PluginError(
                f"The scheduler {spec.name} has no such strategy", got=strategy, expected=known
            )
    return TaskByTaskScheduler(placer, host.border)


def coordinators_scheduler(host: PluginHost, name: str, options: Mapping[str, Any]) -> Scheduler:
    """Return a new scheduler for a coordinator: a stranger's can't hold it up, or end it.

    Raises:
        PluginError, ConfigError: as `make_scheduler`.
    """
    spec, made = find_scheduler(host, name), make_scheduler(host, name, options)
    if type(made).__module__.startswith(_OURS):
        return made
    configured = getattr(getattr(made, "placer", None), "config", options)
    tasks_max = configured.get("max_tasks_per_worker")
    return GuardedScheduler(
        made, spec.name, host.border, tasks_max=tasks_max if isinstance(tasks_max, int) else 0
    )
