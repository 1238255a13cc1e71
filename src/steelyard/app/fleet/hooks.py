"""Tells plugins what happened: in order, each bounded in time, and never in the coordinator's way.

The coordinator puts down what happened and goes on. One task tells it, one event after another. The
slowest plugin is quarantined when ten thousand events wait behind it: the others get theirs.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from steelyard.domain.fleet.hooks import HOOK_ARGUMENTS, FleetHook
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.plugins.hooks import Event, HookTable
from steelyard.runtime.fleet.ports import Happened
from steelyard.runtime.hook_runner import HookRunner
from steelyard.runtime.plugin_border import PluginBorder

WAITING_MAX = 10_000
"""Events that may wait before the slowest plugin is quarantined."""
SLOW_S = 0.05
"""Mean of a call from which on a plugin is slow; in a burst events wait for quick ones too."""
WAITING_HARD_MAX = 10 * WAITING_MAX
"""Events that may wait at all; the ones after them are counted and not told."""

HOOK_NAMES = frozenset(str(hook) for hook in FleetHook)
Listener = Callable[[str, tuple[Any, ...]], Awaitable[object]]
_log = logging.getLogger("steelyard.fleet")

_WHEN = {
    FleetHook.COORDINATOR_STARTUP: "The coordinator leads, and its engines begin.",
    FleetHook.COORDINATOR_SHUTDOWN: "The coordinator stops, its engines have: the last of all.",
    FleetHook.TASK_CREATED: "A task was submitted and is in the ledger.",
    FleetHook.TASK_ASSIGNED: "A worker got the lease of a task.",
    FleetHook.TASK_STARTED: "A worker began with an attempt.",
    FleetHook.TASK_COMPLETED: "A task ended well; told once for each task.",
    FleetHook.TASK_FAILED: "A task ended badly, after its retries, or is a dead letter.",
    FleetHook.TASK_CANCELLED: "A task was cancelled, or what it depends on did not end well.",
    FleetHook.WORKER_REGISTERED: "A worker came, or came back.",
    FleetHook.WORKER_DISCONNECTED: "A worker said goodbye, or is silent and gets no more leases.",
    FleetHook.WORKER_FAILED: "A worker is dead, or silent for so long that it lost its leases.",
    FleetHook.WORKER_RECOVERED: "A worker that was disconnected or had failed spoke again.",
    FleetHook.RECOVERY_STARTED: "Leases were taken back from a lost worker.",
    FleetHook.RECOVERY_COMPLETED: "Every task lost with a worker has a new lease or ended.",
    FleetHook.RECOVERY_FAILED: "A task that was lost with a worker became a dead letter.",
}


def fleet_events() -> list[Event]:
    """Return what plugins of a fleet can hear of, with arguments and when it is told."""
    return [Event(str(hook), HOOK_ARGUMENTS[hook], _WHEN[hook]) for hook in FleetHook]


def kept_arguments(event: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a user's own event, as the ledger keeps them.

    Raises:
        UsageError: the event is one of the fleet's, or an argument is no plain value.
    """
    if event in HOOK_NAMES or not event:
        raise UsageError("Only the fleet itself fires its events", got=event)
    try:
        kept: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"The arguments of event {event} can't be kept: {error}") from None
    return kept


class Announcer:
    """Tells the handlers of a hook table, and further listeners.

    Args:
        coordinator: what is handed to plugins where an argument is called `coordinator`.
        table: who listens; the fleet's events are declared there.
        border: where failures of plugins are counted.
        timeout_s: how long one call may take.

    Attributes:
        told: how many events of each name were told.
        untold: how many were not, because too many waited or the end came.
    """

    def __init__(
        self, coordinator: object, table: HookTable, border: PluginBorder, timeout_s: float
    ) -> None:
        self.table = table
        for event in fleet_events():
            table.declare(event)
        self.told: Counter[str] = Counter()
        self.untold = 0
        self._coordinator, self._border = coordinator, border
        self._runner = HookRunner(table, border, timeout_s=timeout_s, on_quarantine=_quarantined)
        self._listeners: list[Listener] = []
        self._waiting: deque[Happened] = deque()
        self._patience = 0  # events to be told before another plugin can be the slowest
        self._there = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Events that wait to be told."""
        return len(self._waiting)

    def listen(self, listener: Listener) -> None:
        """Have a listener told of every event, after the table's handlers.

        It bounds its own time: that is for what has plugins of its own.
        """
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin to tell."""
        if self._task is None:
            self._task = asyncio.create_task(self._tell_all(), name="fleet-hooks")

    async def put(self, item: Happened) -> None:
        """Take note of what happened; it is told later."""
        if len(self._waiting) >= WAITING_HARD_MAX:
            self.untold += 1
            return
        self._waiting.append(item)
        self._idle.clear()
        self._there.set()

    async def settled(self) -> None:
        """Wait until everything that happened so far was told."""
        await self._idle.wait()

    async def stop(self, within_s: float) -> None:
        """Tell what waits, for so long at most, and end."""
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            _log.warning("%d events were not told to plugins: no time left", self.waiting)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self.untold += len(self._waiting)
        self._waiting.clear()

    async def _tell_all(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._there.clear()
                await self._there.wait()
            if len(self._waiting) > WAITING_MAX and self._patience <= 0:
                self._quarantine_slowest()
            self._patience -= 1
            await self._tell(self._waiting.popleft())

    async def _tell(self, item: Happened) -> None:
        arguments = self._arguments(item)
        self.table.declare(_event(self.table, item))
        for result in await self._runner.fire(item.name, *arguments):
            if result.error:
                _log.error("%s", result.error)
        for listener in self._listeners:
            try:
                with self._border.crossing("listening to the fleet", f"hear of {item.name}"):
                    await listener(item.name, arguments)
            except SteelyardError as error:
                _log.error("%s", error)
        self.told[item.name] += 1

    def _arguments(self, item: Happened) -> tuple[Any, ...]:
        """Return the arguments in their documented order, plain values."""
        given = dict(item.arguments)
        if item.name in (FleetHook.COORDINATOR_STARTUP, FleetHook.COORDINATOR_SHUTDOWN):
            return (self._coordinator,)
        names = HOOK_ARGUMENTS[FleetHook(item.name)] if item.name in HOOK_NAMES else tuple(given)
        return tuple(_plain(given[name]) for name in names)

    def _quarantine_slowest(self) -> None:
        candidates = {
            name: counts.seconds
            for name, counts in self.table.counts.items()
            if not counts.quarantined and counts.seconds > SLOW_S * max(counts.calls, 1)
        }
        if not candidates:
            return
        slowest = max(candidates, key=lambda name: candidates[name])
        self._patience = len(self._waiting)
        why = f"held {len(self._waiting)} events up, {candidates[slowest]:.1f} s in all"
        self.table.quarantine(slowest, why)
        _quarantined(slowest, why)


def _event(table: HookTable, item: Happened) -> Event:
    """Return the event of a name; one that nobody declared has the arguments it comes with."""
    return table.events.get(item.name) or Event(item.name, None, "fired by a user")


def _plain(value: object) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _quarantined(plugin: str, why: str) -> None:
    _log.error("Plugin %s is quarantined: %s", plugin, why)
