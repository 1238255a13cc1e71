"""Named events and who listens: documented arguments, order, counts and quarantine. No I/O.

`steelyard.runtime.hook_runner` makes the calls; this table decides whom to call and remembers how
it went.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from steelyard.kernel.errors import PluginError, did_you_mean
from steelyard.plugins.kinds import accepts

FAILURES_MAX = 3
"""Failures in a row after which a plugin is quarantined."""


class Event(msgspec.Struct, frozen=True):
    """An event that plugins may listen to.

    Attributes:
        name: as handlers name it.
        arguments: names of the arguments, in order; None when the event's user decides.
        description: when it fires, and who fires it.
    """

    name: str
    arguments: tuple[str, ...] | None
    description: str = ""


class Handler(msgspec.Struct, frozen=True):
    """One registered callable."""

    event: str
    plugin: str
    call: Callable[..., Any]
    priority: int
    number: int


class Counts(msgspec.Struct):
    """How a plugin's handlers have done so far; `seconds` is what they took, waits included."""

    calls: int = 0
    failures: int = 0
    timeouts: int = 0
    failures_in_a_row: int = 0
    seconds: float = 0.0
    last_error: str = ""
    quarantined: bool = False


def event_from(function: Callable[..., Any]) -> Event:
    """Return the event that a documented empty function states: its name, arguments, docstring.

    `self` is left out, so that the methods of a port can be the documentation of its events.

    Raises:
        PluginError: the function has no docstring; an undocumented event is not offered.
    """
    name = getattr(function, "__name__", "?")
    text = inspect.getdoc(function)
    if not text:
        raise PluginError(f"Event '{name}' has no docstring", expected="when it fires and for what")
    arguments = tuple(a for a in inspect.signature(function).parameters if a != "self")
    return Event(name, arguments, text)


class HookTable:
    """Events, handlers in order, and each plugin's counts.

    Args:
        events: what may be listened to from the start.
        failures_max: failures in a row after which a plugin is quarantined.
    """

    def __init__(self, events: Iterable[Event] = (), failures_max: int = FAILURES_MAX) -> None:
        self._events: dict[str, Event] = {}
        self._handlers: dict[str, list[Handler]] = {}
        self._number = 0
        self.failures_max = failures_max
        self.counts: dict[str, Counts] = {}
        for event in events:
            self.declare(event)

    @property
    def events(self) -> dict[str, Event]:
        """Every event by name."""
        return dict(self._events)

    def declare(self, event: Event) -> None:
        """Offer `event`; a user's own as well as ours.

        Raises:
            PluginError: the name is taken by an event with other arguments.
        """
        known = self._events.get(event.name)
        if known is not None and known.arguments != event.arguments:
            raise PluginError(
                f"Event '{event.name}' is already declared with other arguments",
                got=event.arguments,
                expected=f"{known.arguments}",
            )
        self._events.setdefault(event.name, event)
        self._handlers.setdefault(event.name, [])

    def register(
        self, event: str, call: Callable[..., Any], *, plugin: str, priority: int = 100
    ) -> Handler:
        """Have `call` called at `event`; lower priorities first, then in order of registration.

        Args:
            event: a declared name.
            call: sync or async; takes the event's arguments by position.
            plugin: who is counted, and named in errors.
            priority: lower acts first.

        Raises:
            PluginError: the event is unknown, or `call` can't take its arguments.
        """
        known = self._events.get(event)
        if known is None:
            raise PluginError(
                f"Plugin {plugin} listens to the unknown event '{event}'",
                expected="one of " + ", ".join(sorted(self._events)),
                next_step=did_you_mean(event, self._events) or "Declare your own events first.",
            )
        if not callable(call):
            raise PluginError(
                f"Plugin {plugin}: the handler of '{event}' can't be called", got=call
            )
        if known.arguments is not None and not accepts(call, len(known.arguments), bound=True):
            raise PluginError(
                f"Plugin {plugin}: the handler of '{event}' has the wrong arguments",
                got=f"{getattr(call, '__name__', call)}{inspect.signature(call)}",
                expected=f"{event}({', '.join(known.arguments)})",
            )
        handler = Handler(event, plugin, call, priority, self._number)
        self._number += 1
        listeners = self._handlers[event]
        listeners.append(handler)
        listeners.sort(key=lambda h: (h.priority, h.number))
        self.counts.setdefault(plugin, Counts())
        return handler

    def unregister(self, event: str, call: Callable[..., Any]) -> bool:
        """Forget `call` at `event`; return whether it was there."""
        listeners = self._handlers.get(event, [])
        kept = [h for h in listeners if h.call != call]
        self._handlers[event] = kept
        return len(kept) < len(listeners)

    def forget(self, plugin: str) -> None:
        """Forget every handler of `plugin`; its counts stay."""
        for event, listeners in self._handlers.items():
            self._handlers[event] = [h for h in listeners if h.plugin != plugin]

    def handlers(self, event: str) -> tuple[Handler, ...]:
        """Return whom to call at `event`, in order, without the quarantined.

        Raises:
            PluginError: the event is unknown.
        """
        if event not in self._events:
            raise PluginError(
                f"Unknown event '{event}'", next_step=did_you_mean(event, self._events) or None
            )
        return tuple(h for h in self._handlers[event] if not self.counts[h.plugin].quarantined)

    def took(self, handler: Handler, seconds: float) -> None:
        """Note how long a call took, however it ended."""
        self.counts[handler.plugin].seconds += seconds

    def quarantine(self, plugin: str, why: str) -> None:
        """Call nothing of `plugin` until it is released."""
        counts = self.counts.setdefault(plugin, Counts())
        counts.quarantined, counts.last_error = True, why

    def succeeded(self, handler: Handler) -> None:
        """Note a call that returned."""
        counts = self.counts[handler.plugin]
        counts.calls += 1
        counts.failures_in_a_row = 0

    def failed(self, handler: Handler, error: str, *, timeout: bool = False) -> bool:
        """Note a call that raised or ran out of time; return True if it quarantines its plugin."""
        counts = self.counts[handler.plugin]
        counts.calls += 1
        counts.failures += 1
        counts.timeouts += timeout
        counts.failures_in_a_row += 1
        counts.last_error = f"{handler.event}: {error}"
        if counts.quarantined or counts.failures_in_a_row < self.failures_max:
            return False
        counts.quarantined = True
        return True

    def release(self, plugin: str) -> None:
        """End a plugin's quarantine."""
        counts = self.counts.setdefault(plugin, Counts())
        counts.quarantined = False
        counts.failures_in_a_row = 0
