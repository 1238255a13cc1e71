"""The bus across processes: a ROUTER broker in the controller, a DEALER in each role.

One frame per message, an `Envelope` of `kernel.codec`. Over ipc the directory's mode (0700) keeps
strangers out; over tcp every peer must prove a key of this run (CURVE, RFC 26 of the ZeroMQ
project), or the socket is refused.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import zmq

from steelyard.kernel.codec import Envelope, decode_envelope
from steelyard.runtime.bus import Switchboard
from steelyard.runtime.bus_messages import (
    MESSAGES,
    CommandFailure,
    Hello,
    MessageRegistry,
    Subscribe,
)
from steelyard.runtime.bus_port import SEND_WAIT_S, BusCounters, BusError, BusPort, Parcel
from steelyard.runtime.bus_pump import SocketPump
from steelyard.runtime.bus_wire import (
    LINGER_MS,
    Border,
    BusLimits,
    CurveKeys,
    Opener,
    RunKey,
    open_socket,
    prove,
    require_keys,
    require_size,
    to_frame,
)

if TYPE_CHECKING:
    from zmq.auth.asyncio import AsyncioAuthenticator

__all__ = [
    "BusLimits",
    "CurveKeys",
    "ZmqBroker",
    "ZmqClient",
]

FULL_RETRY_S = 0.005
UNREADABLE = CommandFailure("the message can't be read there: its type isn't known, or malformed")

_log = logging.getLogger(__name__)


class ZmqClient:
    """The link of a role: its DEALER socket. `port` is the role's bus."""

    def __init__(
        self,
        address: str,
        service_id: str,
        service_type: str,
        *,
        keys: CurveKeys | None = None,
        registry: MessageRegistry = MESSAGES,
        limits: BusLimits | None = None,
        border: Border | None = None,
    ) -> None:
        """Connect; the broker may come later. Needs a running loop.

        `border` sees every message on its way in and out, and may replace it.

        Raises:
            BusError: a tcp address without keys.
        """
        require_keys(address, keys)
        self._border = border
        self._limits = limits or BusLimits()
        self.port = BusPort(
            service_id, service_type, registry=registry, inbox_max=self._limits.queue_max
        )
        self._opener = Opener(registry, self.port.counters)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = open_socket(self._context, zmq.DEALER, address, self._limits)
        socket.setsockopt(zmq.IDENTITY, service_id.encode())
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        if keys is not None:
            prove(socket, keys)
        socket.connect(address)
        self._pump = SocketPump(
            socket,
            self._on_frames,
            may_read=lambda: not self.port.full,
            queue_max=self._limits.queue_max,
        )
        self.post(Parcel(Hello(service_id, service_type), service_id))
        self.port.attach(self)

    async def ship(self, parcel: Parcel) -> None:
        """Send; waits while the way to the broker is full (`Link.ship`)."""
        frames = (self._frame(parcel),)
        if self._pump.post_now(frames):
            self.port.counters.sent += 1
            return
        self.port.counters.waited_full += 1
        if not await self._pump.push(frames, SEND_WAIT_S):
            self.port.counters.dropped_full += 1
            raise BusError(
                f"the bus took no message of {parcel.source!r} for {SEND_WAIT_S:g} s",
                got=type(parcel.message).__name__,
                next_step="The controller is stuck or gone.",
            )
        self.port.counters.sent += 1

    def post(self, parcel: Parcel) -> None:
        """Send without waiting (`Link.post`)."""
        if self._pump.post((self._frame(parcel),)):
            self.port.counters.sent += 1
            return
        self.port.counters.dropped_full += 1
        _log.warning("dropped a %s: the bus is full", type(parcel.message).__name__)

    def watch_type(self, name: str) -> None:
        """Subscribe at the broker."""
        self.post(Parcel(Subscribe((name,)), self.port.service_id))

    def has_room(self) -> None:
        """Read on."""
        self._pump.kick()

    async def close(self) -> None:
        """Cancel handlers, let what was sent leave (at most `LINGER_MS`), close."""
        await self.port.close()
        self._pump.close(LINGER_MS)
        await asyncio.to_thread(self._context.term)

    def _frame(self, parcel: Parcel) -> bytes:
        if self._border is not None:
            parcel = replace(parcel, message=self._border.outbound(parcel.message))
        data = to_frame(parcel)
        require_size(data, parcel, self._limits, self.port.counters)
        return data

    def _on_frames(self, frames: list[bytes]) -> None:
        envelope = self._opener.envelope(frames[-1], "the broker")
        if envelope is None:
            return
        parcel = self._opener.parcel(envelope)
        if parcel is not None:
            if self._border is not None:
                parcel = replace(parcel, message=self._border.inbound(parcel.message))
            self.port.deliver(parcel)
        elif envelope.request_id:
            me = self.port.service_id
            self.post(Parcel(UNREADABLE, me, envelope.source, reply_to=envelope.request_id))


class ZmqBroker:
    """The hub across processes; it runs in the controller, whose bus is `port`.

    Publications go to their subscribers only. A role that reads too slowly loses the newest once
    `queue_max` messages wait for it; the losses are counted, nobody else is held up.
    """

    def __init__(
        self,
        address: str,
        controller_id: str,
        controller_type: str,
        *,
        allowed: Collection[str] | None = None,
        keys: CurveKeys | None = None,
        registry: MessageRegistry = MESSAGES,
        limits: BusLimits | None = None,
        on_seen: Callable[[str], None] | None = None,
    ) -> None:
        """Bind; needs a running loop.

        Args:
            address: `ipc://PATH`, or `tcp://HOST:PORT` with keys (port 0 picks one).
            controller_id: the local service's id.
            controller_type: the local service's type.
            allowed: ids that may join; None lets anybody join who gets through.
            keys: the keys of this run.
            registry: the message types that are read.
            limits: bounds of the socket.
            on_seen: called with a member's id for each message of it: it is alive.

        Raises:
            BusError: a tcp address without keys.
        """
        require_keys(address, keys)
        self._limits = limits or BusLimits()
        self._allowed = allowed
        self._on_seen = on_seen
        self._turns: dict[str, asyncio.Lock] = {}
        self.switchboard = Switchboard()
        self.counters = BusCounters()
        self._opener = Opener(registry, self.counters)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator = self._authenticate(keys) if keys is not None else None
        self._socket = open_socket(self._context, zmq.ROUTER, address, self._limits)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if keys is not None:
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys.server_secret)
        self._socket.bind(address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._pump = SocketPump(
            self._socket, self._on_frames, may_read=lambda: True, queue_max=self._limits.queue_max
        )
        self.port = BusPort(
            controller_id, controller_type, registry=registry, inbox_max=self._limits.queue_max
        )
        self.switchboard.join(controller_id, controller_type)
        self.port.attach(self)

    def listen(self, address: str, keys: CurveKeys) -> str:
        """Take members on a tcp address too, each with the keys; return it with its port.

        What was bound before stays as it is: options of a socket are those of later binds.

        Raises:
            zmq.ZMQError: the address can't be bound.
        """
        if self._authenticator is None:
            self._authenticator = self._authenticate(keys)
        if address.startswith("tcp://["):
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.CURVE_SERVER, 1)
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys.server_secret)
        self._socket.bind(address)
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _authenticate(self, keys: CurveKeys) -> "AsyncioAuthenticator":
        # Only a bus with keys pays for this import.
        from zmq.auth.asyncio import AsyncioAuthenticator

        authenticator = AsyncioAuthenticator(self._context)
        authenticator.start()
        authenticator.configure_curve_callback(credentials_provider=RunKey(keys.client_public))
        return authenticator

    async def ship(self, parcel: Parcel) -> None:
        """Send from the controller; waits while an addressed role is full (`Link.ship`)."""
        if not parcel.target:
            self.post(parcel)
            return
        data = to_frame(parcel)
        require_size(data, parcel, self._limits, self.counters)
        # One at a time to each target, else a message that waits would be overtaken.
        async with self._turns.setdefault(parcel.target, asyncio.Lock()):
            full = self._forward(decode_envelope(data), data)
            if full:
                await self._keep_trying(full, data)

    async def _keep_trying(self, full: list[str], data: bytes) -> None:
        self.counters.waited_full += 1
        for _ in range(round(SEND_WAIT_S / FULL_RETRY_S)):
            await asyncio.sleep(FULL_RETRY_S)
            full = [service_id for service_id in full if not self._hand_to(service_id, data)]
            if not full:
                return
        self.counters.dropped_full += len(full)
        raise BusError(
            f"{', '.join(full)} took in no message for {SEND_WAIT_S:g} s",
            next_step="Its handlers are too slow or stuck.",
        )

    def post(self, parcel: Parcel) -> None:
        """Send from the controller without waiting (`Link.post`)."""
        data = to_frame(parcel)
        require_size(data, parcel, self._limits, self.counters)
        self._route(decode_envelope(data), data)

    def watch_type(self, name: str) -> None:
        """Subscribe the controller."""
        self.switchboard.watch_type(self.port.service_id, name)

    def has_room(self) -> None:
        """Nothing waits for the controller: what is too much for it is dropped and counted."""

    def drop(self, service_id: str) -> None:
        """Forget a service that is gone."""
        self.switchboard.leave(service_id)

    async def close(self) -> None:
        """Cancel the controller's handlers, let what was sent leave, unbind."""
        await self.port.close()
        self._pump.close(LINGER_MS)
        if self._authenticator is not None:
            self._authenticator.stop()
        await asyncio.to_thread(self._context.term)

    def _on_frames(self, frames: list[bytes]) -> None:
        source = frames[0].decode("utf-8", "backslashreplace")
        if len(frames) != 2:  # the identity that ROUTER adds, and one frame
            self.counters.malformed += 1
            _log.warning("dropped a message of %d frames from %r", len(frames) - 1, source)
            return
        envelope = self._opener.envelope(frames[1], source)
        if envelope is None:
            return
        if envelope.type in ("Hello", "Subscribe"):
            self._welcome(source, envelope)
        elif envelope.source != source or source not in self.switchboard.members:
            self.counters.malformed += 1
            _log.warning("dropped a %s of a stranger %r", envelope.type, source)
        elif envelope.type != "Heartbeat":
            self._route(envelope, frames[1])
        if self._on_seen is not None and source in self.switchboard.members:
            self._on_seen(source)

    def _welcome(self, source: str, envelope: Envelope) -> None:
        parcel = self._opener.parcel(envelope)
        if parcel is None:
            return
        message = parcel.message
        if isinstance(message, Hello):
            if message.service_id != source or not self._may_join(source):
                self.counters.malformed += 1
                _log.warning("refused %r, who said it was %r", source, message.service_id)
                return
            self.switchboard.join(source, message.service_type)
        elif isinstance(message, Subscribe) and source in self.switchboard.members:
            for type_name in message.types:
                self.switchboard.watch_type(source, type_name)

    def _may_join(self, service_id: str) -> bool:
        return self._allowed is None or service_id in self._allowed

    def _route(self, envelope: Envelope, data: bytes) -> None:
        for service_id in self._forward(envelope, data):
            self.counters.dropped_full += 1
            _log.warning("dropped a %s: %s reads too slowly", envelope.type, service_id)
            if envelope.request_id:
                self._refuse(envelope, f"{service_id} reads too slowly, its queue is full")

    def _forward(self, envelope: Envelope, data: bytes) -> list[str]:
        """Hand `data` to its recipients; return those whose queues are full."""
        found = self.switchboard.recipients(envelope.type, envelope.source, envelope.target)
        if envelope.request_id and len(found) != 1:
            self._refuse(envelope, self.switchboard.refusal(envelope.target, len(found)))
            return []
        if envelope.target and not found:
            self.counters.unknown_target += 1
            refusal = self.switchboard.refusal(envelope.target, 0)
            _log.warning("dropped a %s: %s", envelope.type, refusal)
        full = []
        for service_id in found:
            if service_id == self.port.service_id:
                parcel = self._opener.parcel(envelope)
                if parcel is not None:
                    self.port.deliver(parcel)
                elif envelope.request_id:
                    self._refuse(envelope, UNREADABLE.error)
            elif not self._hand_to(service_id, data):
                full.append(service_id)
        return full

    def _hand_to(self, service_id: str, data: bytes) -> bool:
        """Send to one role; False when its queue is full. One that is gone counts as a loss."""
        try:
            self._socket.send_multipart((service_id.encode(), data), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.counters.unknown_target += 1
            # At the end of a run all roles leave at once; a death is told by the supervisor.
            _log.info("dropped a message: %s is gone", service_id)
            return True
        self.counters.sent += 1
        self._pump.kick()
        return True

    def _refuse(self, envelope: Envelope, reason: str) -> None:
        answer = Parcel(
            CommandFailure(reason),
            self.port.service_id,
            envelope.source,
            reply_to=envelope.request_id,
        )
        self.post(answer)
