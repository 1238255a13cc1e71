"""The bus: typed messages between services, by type, by service id or by service type.

Control and batches travel on it; no request of a benchmark ever waits for a message.
"""

import asyncio
import logging
from typing import Protocol

import msgspec

from steelyard.kernel.errors import did_you_mean
from steelyard.runtime.bus_messages import (
    MESSAGES,
    CommandFailure,
    MessageRegistry,
    register_messages,
)
from steelyard.runtime.bus_port import (
    INBOX_MAX,
    SEND_WAIT_S,
    BusCounters,
    BusError,
    BusPort,
    CommandFailedError,
    CommandTimeoutError,
    Handler,
    Parcel,
)

__all__ = [
    "MESSAGES",
    "Bus",
    "BusCounters",
    "BusError",
    "BusPort",
    "CommandFailedError",
    "CommandTimeoutError",
    "Handler",
    "InlineHub",
    "MessageRegistry",
    "Parcel",
    "Switchboard",
    "register_messages",
]

_log = logging.getLogger(__name__)


class Bus(Protocol):
    """What a service may do with the bus. The same in one process and across many."""

    async def publish(self, message: msgspec.Struct) -> None:
        """Send to every other service that subscribed to this type."""
        ...

    async def send(self, target: str, message: msgspec.Struct) -> None:
        """Send to one service by id, or to all of a type; kept in order per sender."""
        ...

    async def command(
        self, target: str, message: msgspec.Struct, *, timeout_s: float
    ) -> msgspec.Struct | None:
        """Send to exactly one service and return its handler's answer.

        Raises:
            CommandTimeoutError: no answer within `timeout_s`.
            CommandFailedError: the handler raised, nobody handles it, or the target died.
        """
        ...

    def subscribe(self, message_type: type[msgspec.Struct], handler: Handler) -> None:
        """Call `handler(message)` for each message of this type, published or sent to us."""
        ...


class Switchboard:
    """Who is on the bus and who wants what: decides recipients, moves nothing."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}
        self._wants: dict[str, dict[str, None]] = {}

    def join(self, service_id: str, service_type: str) -> None:
        """Add a service; a second join of the same id changes nothing."""
        self.members.setdefault(service_id, service_type)

    def leave(self, service_id: str) -> None:
        """Forget a service and what it subscribed to."""
        self.members.pop(service_id, None)
        for wanting in self._wants.values():
            wanting.pop(service_id, None)

    def watch_type(self, service_id: str, type_name: str) -> None:
        """Note that a service wants published messages of a type."""
        self._wants.setdefault(type_name, {})[service_id] = None

    def recipients(self, type_name: str, source: str, target: str) -> list[str]:
        """Return who gets a message: subscribers but the source, one id, or all of a type.

        A `ServiceLost` goes to everyone: commands that wait for the lost one must fail.
        """
        if not target:
            wanting = self.members if type_name == "ServiceLost" else self._wants.get(type_name, {})
            return [service_id for service_id in wanting if service_id != source]
        if target in self.members:
            return [target]
        return [sid for sid, service_type in self.members.items() if service_type == target]

    def refusal(self, target: str, found: int) -> str:
        """Return why a command to `target`, with `found` recipients, can't be carried out."""
        if found:
            return f"{found} services are of type {target!r}; a command names one by its id"
        known = sorted({*self.members, *self.members.values()})
        hint = did_you_mean(target, known)
        return f"no service {target!r} on the bus (known: {', '.join(known)}). {hint}".rstrip()


class InlineHub:
    """The bus of services that share a process and a loop: parcels go from port to port."""

    def __init__(self, *, registry: MessageRegistry = MESSAGES, inbox_max: int = INBOX_MAX) -> None:
        self.switchboard = Switchboard()
        self.counters = BusCounters()
        self._registry = registry
        self._inbox_max = inbox_max
        self._ports: dict[str, BusPort] = {}
        self._room: dict[str, asyncio.Event] = {}

    def connect(self, service_id: str, service_type: str) -> BusPort:
        """Return the bus of a service that joins now."""
        port = BusPort(service_id, service_type, registry=self._registry, inbox_max=self._inbox_max)
        self.switchboard.join(service_id, service_type)
        self._ports[service_id] = port
        port.attach(_InlineLink(self, service_id))
        return port

    def drop(self, service_id: str) -> None:
        """Deliver nothing more to a service that is gone; what it still sends arrives."""
        self.switchboard.leave(service_id)

    async def close(self) -> None:
        """Cancel the handlers of every service."""
        for port in self._ports.values():
            await port.close()

    async def wait_for_room(self, parcel: Parcel) -> None:
        """Hold a sender back while a service that it addresses is full.

        Raises:
            BusError: it stayed full for `SEND_WAIT_S`; the parcel is not sent.
        """
        if not parcel.target:
            return
        type_name = type(parcel.message).__name__
        for service_id in self.switchboard.recipients(type_name, parcel.source, parcel.target):
            port = self._ports.get(service_id)
            if port is None or not port.full:
                continue
            self.counters.waited_full += 1
            room = self._room.setdefault(service_id, asyncio.Event())
            room.clear()
            try:
                async with asyncio.timeout(SEND_WAIT_S):
                    await room.wait()
            except TimeoutError:
                raise BusError(
                    f"{service_id!r} took in no message for {SEND_WAIT_S:g} s",
                    next_step="Its handlers are too slow or stuck.",
                ) from None

    def room_made(self, service_id: str) -> None:
        """A full inbox is full no more."""
        if service_id in self._room:
            self._room[service_id].set()

    def route(self, parcel: Parcel) -> None:
        """Deliver a parcel to all its recipients; a full one loses it, counted."""
        type_name = type(parcel.message).__name__
        found = self.switchboard.recipients(type_name, parcel.source, parcel.target)
        if parcel.request_id and len(found) != 1:
            refusal = CommandFailure(self.switchboard.refusal(parcel.target, len(found)))
            self._ports[parcel.source].deliver(
                Parcel(refusal, "", parcel.source, reply_to=parcel.request_id)
            )
            return
        if parcel.target and not found:
            self.counters.unknown_target += 1
            _log.warning("dropped a %s: %s", type_name, self.switchboard.refusal(parcel.target, 0))
        for service_id in found:
            port = self._ports[service_id]
            # An answer settles a command that somebody waits for; it takes no room in a queue.
            if port.full and not parcel.reply_to:
                self.counters.dropped_full += 1
                _log.warning("dropped a %s: the inbox of %s is full", type_name, service_id)
                continue
            self.counters.sent += 1
            port.deliver(parcel)


class _InlineLink:
    """A port's way into the hub."""

    def __init__(self, hub: InlineHub, service_id: str) -> None:
        self._hub = hub
        self._service_id = service_id

    async def ship(self, parcel: Parcel) -> None:
        await self._hub.wait_for_room(parcel)
        self._hub.route(parcel)

    def post(self, parcel: Parcel) -> None:
        self._hub.route(parcel)

    def watch_type(self, name: str) -> None:
        self._hub.switchboard.watch_type(self._service_id, name)

    def has_room(self) -> None:
        self._hub.room_made(self._service_id)
