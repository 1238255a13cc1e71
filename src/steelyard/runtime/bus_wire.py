"""What travels on the bus between processes: frames, bounds and keys."""

import logging
from dataclasses import dataclass
from typing import Protocol

import msgspec
import zmq

from steelyard.kernel.codec import Envelope, decode_envelope, encode
from steelyard.runtime.bus_messages import CommandFailure, MessageRegistry, schema_version
from steelyard.runtime.bus_port import BusCounters, BusError, Parcel

QUEUE_MAX = 1_000
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
LINGER_MS = 500

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BusLimits:
    """Bounds of one socket: messages queued each way, bytes of one message."""

    queue_max: int = QUEUE_MAX
    message_bytes_max: int = MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True, repr=False)
class CurveKeys:
    """The keys of one run (Z85 text): the broker's pair, and the pair its services share."""

    server_public: bytes
    server_secret: bytes
    client_public: bytes
    client_secret: bytes

    @classmethod
    def generate(cls) -> "CurveKeys":
        """Return fresh keys; make them anew for each run."""
        return cls(*zmq.curve_keypair(), *zmq.curve_keypair())


class Border(Protocol):
    """Sees each message of a role between its bus and the wire."""

    def inbound(self, message: msgspec.Struct) -> msgspec.Struct:
        """Return the message that the role gets."""
        ...

    def outbound(self, message: msgspec.Struct) -> msgspec.Struct:
        """Return the message that leaves."""
        ...


def open_socket(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, address: str, limits: BusLimits
) -> "zmq.Socket[bytes]":
    """Return a bounded socket, neither bound nor connected."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, limits.queue_max)
    socket.setsockopt(zmq.RCVHWM, limits.queue_max)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.message_bytes_max)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    if address.startswith("tcp://["):
        socket.setsockopt(zmq.IPV6, 1)
    return socket


def prove(socket: "zmq.Socket[bytes]", keys: CurveKeys) -> None:
    """Have a socket show the run's client key, and believe nobody but the run's server."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server_public)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.client_public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.client_secret)


def require_keys(address: str, keys: CurveKeys | None) -> None:
    """Refuse an address that strangers could reach when there are no keys.

    Raises:
        BusError: it isn't ipc, and `keys` is None.
    """
    if keys is None and not address.startswith("ipc://"):
        raise BusError(
            "a bus that leaves this machine's files needs keys",
            got=address,
            expected="an ipc:// address, or CurveKeys of this run",
        )


def to_frame(parcel: Parcel) -> bytes:
    """Return a parcel as the bytes that travel."""
    cls = type(parcel.message)
    return encode(
        Envelope(
            type=cls.__name__,
            payload=msgspec.Raw(encode(parcel.message)),
            version=schema_version(cls),
            source=parcel.source,
            target=parcel.target,
            request_id=parcel.request_id,
            reply_to=parcel.reply_to,
        )
    )


class Opener:
    """Turns envelopes into parcels; what can't be read is counted, logged and None."""

    def __init__(self, registry: MessageRegistry, counters: BusCounters) -> None:
        self._registry = registry
        self._counters = counters

    def envelope(self, data: bytes, source: str) -> Envelope | None:
        """Read the outside of a message; its payload stays undecoded."""
        try:
            return decode_envelope(data)
        except msgspec.DecodeError as error:
            self._counters.malformed += 1
            _log.warning("dropped %d malformed bytes from %r: %s", len(data), source, error)
            return None

    def parcel(self, envelope: Envelope) -> Parcel | None:
        """Read the message itself, if its type is allowed.

        An answer that can't be read becomes a `CommandFailure`: somebody waits for it.
        """
        cls = self._registry.type_of(envelope.type)
        message = None
        if cls is None or envelope.version != schema_version(cls):
            self._counters.unknown_type += 1
            trouble = f"a message of unknown type {envelope.type!r} (version {envelope.version})"
        else:
            try:
                message = self._registry.decode(envelope.type, envelope.payload)
            except msgspec.DecodeError as error:
                self._counters.malformed += 1
                trouble = f"a malformed {envelope.type}: {error}"
        if message is None:
            _log.warning("dropped, from %r: %s", envelope.source, trouble)
            if not envelope.reply_to:
                return None
            message = CommandFailure(f"the answer can't be read: {trouble}")
        return Parcel(
            message, envelope.source, envelope.target, envelope.request_id, envelope.reply_to
        )


def require_size(data: bytes, parcel: Parcel, limits: BusLimits, counters: BusCounters) -> None:
    """Refuse a message over the bound, counted.

    Raises:
        BusError: the message can't be sent.
    """
    if len(data) > limits.message_bytes_max:
        counters.too_large += 1
        raise BusError(
            f"a {type(parcel.message).__name__} is too large for the bus",
            got=f"{len(data)} bytes",
            expected=f"at most {limits.message_bytes_max}",
            next_step="Send it in parts, or leave it in a file and send the path.",
        )


class RunKey:
    """Lets in who proves the run's client key (ZAP, RFC 27 of the ZeroMQ project)."""

    def __init__(self, client_public: bytes) -> None:
        self._client_public = client_public

    def callback(self, domain: str, key: bytes) -> bool:
        """Called by the authenticator with the Z85 key that a client proved to own."""
        del domain
        return key == self._client_public
