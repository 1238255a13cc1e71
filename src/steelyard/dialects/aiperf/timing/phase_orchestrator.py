"""Runs phases with hooks: a whole run of the core beside the caller's event loop."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.domain.bench.plan import Plan, PluginChoice
from steelyard.runtime.phase_hooks import PhaseHooks

if TYPE_CHECKING:
    # The run brings sockets, journal and numpy along; execute_phase imports it.
    from steelyard.app.profile import Outcome

__all__ = ["PhaseOrchestrator"]


class PhaseOrchestrator:
    """Holds hooks and tells them of the phases it executes.

    Args:
        config: a configuration with a section `plugins`; None when there is none.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._config = config
        self._hooks = PhaseHooks(standard_host())

    def register_hook(self, hook: Any, *, priority: int = 100) -> None:
        """Have `hook` told of the events it has methods for; lower priorities are told first."""
        self._hooks.add(hook, priority=priority)

    async def initialize(self) -> None:
        """Make and register the enabled hooks.

        With a configuration those are the ones in `plugins.phase_hooks`, without one all that the
        registries have enabled, with their default options.

        Raises:
            PluginError: a hook is unknown or can't be made.
            ConfigError: its options are wrong.
        """
        host = standard_host()
        for choice in self._choices():
            hook = host.create("phase_hook", choice.name, **choice.config)
            self._hooks.add(hook, choice.name, host.spec("phase_hook", choice.name).priority)

    def _choices(self) -> list[PluginChoice]:
        if self._config is None:
            specs = standard_host().specs("phase_hook")
            return [PluginChoice(name=spec.name) for spec in specs if spec.enabled]
        section = self._config.get("plugins") or {}
        return msgspec.convert(section.get("phase_hooks") or [], list[PluginChoice])

    async def execute_phase(self, config: Plan | Mapping[str, Any] | str | Path) -> "Outcome":
        """Run what `config` says and return how it ended; the hooks are told on the caller's loop.

        Args:
            config: a complete plan, a configuration as a mapping, or the path of a YAML file. Its
                own `plugins.phase_hooks` are left to `initialize` or to the caller.

        The run's services share one process with the caller (run type `inline`).

        Raises:
            ConfigError: the configuration has mistakes.
            EndpointUnreachableError: no server takes a connection.
        """
        plan = msgspec.structs.replace(plan_of(config), phase_hooks=(), run_type="inline")
        relay = _Relay(self._hooks, asyncio.get_running_loop())
        return await asyncio.to_thread(_run, plan, relay)


class _Relay:
    """A hook of the run that hands each event over to the caller's loop, and waits for its end."""

    def __init__(self, hooks: PhaseHooks, loop: asyncio.AbstractEventLoop) -> None:
        self._hooks = hooks
        self._loop = loop

    async def on_phase_start(self, phase: Any, tracker: Any) -> None:
        await self._tell("on_phase_start", phase, tracker)

    async def on_phase_sending_complete(self, phase: Any, tracker: Any) -> None:
        await self._tell("on_phase_sending_complete", phase, tracker)

    async def on_phase_complete(self, phase: Any, tracker: Any) -> None:
        await self._tell("on_phase_complete", phase, tracker)

    async def on_phase_timeout(self, phase: Any, tracker: Any) -> None:
        await self._tell("on_phase_timeout", phase, tracker)

    async def _tell(self, event: str, phase: Any, tracker: Any) -> None:
        telling = self._hooks.fire(event, phase, tracker)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(telling, self._loop))


def _run(plan: Plan, relay: _Relay) -> "Outcome":
    from steelyard.app.profile import run_profile

    return run_profile(plan, phase_hooks=[relay])


def plan_of(config: Plan | Mapping[str, Any] | str | Path) -> Plan:
    """Return the plan that `config` means; see `PhaseOrchestrator.execute_phase`."""
    if isinstance(config, Plan):
        return config
    from steelyard.app.config import load_plan

    given = isinstance(config, Mapping)
    return load_plan(
        config_path=None if given else Path(config),  # type: ignore[arg-type]
        flags=_dotted(config) if isinstance(config, Mapping) else {},
        environ=os.environ,
        now_wall_ns=time.time_ns(),
        entropy=os.urandom(8),
    )


def _dotted(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as `load.request_count`, down to where a field takes the rest."""
    from steelyard.app.config.fields import fields_by_path

    known = fields_by_path()
    flat: dict[str, Any] = {}
    for key, value in section.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and tuple(path.split(".")) not in known:
            flat |= _dotted(value, f"{path}.")
        else:
            flat[path] = value
    return flat
