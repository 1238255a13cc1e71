"""Phase hooks of a run: made from the plan, fired from one place each."""

from collections.abc import Iterable
from typing import Any

from steelyard.domain.bench.plan import PluginChoice
from steelyard.domain.bench.ports import PhaseHook, PhaseTracker
from steelyard.plugins.hooks import Counts, HookTable, event_from
from steelyard.runtime.hook_runner import CALL_TIMEOUT_S, HookResult, HookRunner
from steelyard.runtime.plugin_host import PluginHost

EVENTS = tuple(
    event_from(method)
    for method in (
        PhaseHook.on_phase_start,
        PhaseHook.on_phase_sending_complete,
        PhaseHook.on_phase_complete,
        PhaseHook.on_phase_timeout,
    )
)
"""The four events of a phase; arguments and meaning are those of the port."""


class PhaseName(str):
    """A phase's name as hooks get it: text, with `name` and `value` as an enumeration has them."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name in capitals: `WARMUP`."""
        return self.upper()

    @property
    def value(self) -> str:
        """The name as text."""
        return str(self)


class PhaseHooks:
    """The hooks that a run notifies.

    Args:
        host: makes the plugins that the plan names.
        choices: the plan's `phase_hooks`.
        timeout_s: how long one call may take.

    Raises:
        PluginError: a named plugin is unknown or can't be made.
        ConfigError: its configuration is wrong.
    """

    def __init__(
        self,
        host: PluginHost,
        choices: Iterable[PluginChoice] = (),
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.table = HookTable(EVENTS)
        self._runner = HookRunner(self.table, host.border, timeout_s=timeout_s)
        for choice in choices:
            hook = host.create("phase_hook", choice.name, **choice.config)
            self.add(hook, choice.name, host.spec("phase_hook", choice.name).priority)

    def add(self, hook: Any, name: str = "", priority: int = 100) -> None:
        """Have `hook` told of the events it has methods for."""
        for event in EVENTS:
            method = getattr(hook, event.name, None)
            if method is not None:
                plugin = name or type(hook).__name__
                self.table.register(event.name, method, plugin=plugin, priority=priority)

    @property
    def counts(self) -> dict[str, Counts]:
        """How each plugin's hooks have done so far, by its name."""
        return {f"phase_hook '{name}'": counts for name, counts in self.table.counts.items()}

    async def fire(self, event: str, phase: Any, tracker: PhaseTracker) -> list[HookResult]:
        """Tell every hook of `event` (`on_phase_start`, ...); failures come back as results."""
        return await self._runner.fire(event, PhaseName(phase), tracker)
