"""One attempt of a request: what the hot path keeps of it, stamps and bytes, no meaning yet."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.targets import Target
from steelyard.runtime.sessions import LiveSession

_NO_ERROR = ErrorKind.NONE  # bound once: an enum takes 0.1 us to give a member


class Prepared:
    """A dataset entry shaped for one model and one server; every request of it shares this.

    Attributes:
        head, tail: the request before and behind its `X-Request-ID`.
        refusal: why there is neither: the endpoint could not build the request.
        requested_output_tokens: the OSL asked for, `MISSING` when nothing was.
        client_input_tokens: the ISL as the dataset counted it, `MISSING` when it did not.
        session: begins a new session of the entry, None for an entry of one turn.
    """

    __slots__ = (
        "client_input_tokens", "entry", "head", "refusal", "requested_output_tokens", "session",
        "tail", "url",
    )  # fmt: skip

    def __init__(self, entry: int, url: int, head: bytes, tail: bytes, refusal: str = "") -> None:
        self.entry = entry
        self.url = url
        self.head = head
        self.tail = tail
        self.refusal = refusal
        self.requested_output_tokens = MISSING
        self.client_input_tokens = MISSING
        self.session: Callable[[int], LiveSession] | None = None


class Exchange:
    """A request on its way and the bytes that came back.

    Attributes:
        request: head and body, ready to send.
        submitted_ns: when the engine handed it to the transport.
        pieces, stamps: body bytes as they arrived, and the stamp of the read that held each.
        head: the first bytes of the response, bounded, for what the parser does not tell.
        before_body_ns: stamp of the read before the first body bytes, or of the send.
        lag_ns: wait between the kernel's stamp of the first body bytes and our reading them.
        session: number of the conversation: the schedule index that began it.
        turn: which turn of it.
        live: the conversation itself, None when it has one turn only.
        session_over: nothing of this session follows, so a connection of its own may be closed.
        when_sent: called by the transport once the whole request is handed to the kernel.
        when_read: called by the transport after each read that leaves the answer incomplete.

    Most exchanges have neither callback. Either may cancel exchanges or submit others.
    All times are CLOCK_MONOTONIC nanoseconds.
    """

    __slots__ = (
        "attempt",
        "before_body_ns",
        "bytes_received",
        "cancelled",
        "conn_id",
        "conn_reused",
        "connect_ns",
        "dns_ns",
        "end_ns",
        "error",
        "error_text",
        "first_byte_ns",
        "head",
        "index",
        "intended_ns",
        "kernel_stamped",
        "lag_ns",
        "live",
        "pieces",
        "prepared",
        "request",
        "sent_ns",
        "session",
        "session_over",
        "stamps",
        "start_ns",
        "status",
        "submitted_ns",
        "tls_ns",
        "turn",
        "url",
        "when_read",
        "when_sent",
    )  # fmt: skip

    def __init__(self, index: int, prepared: Prepared, request: bytes, intended_ns: int) -> None:
        self.index = index
        self.prepared = prepared
        self.url = prepared.url
        self.request = request
        self.intended_ns = intended_ns
        self.session = index
        self.session_over = True
        self.turn = 0
        self.live: LiveSession | None = None
        self.attempt = 0
        self.submitted_ns = self.start_ns = self.sent_ns = self.first_byte_ns = MISSING
        self.end_ns = self.before_body_ns = self.lag_ns = MISSING
        self.dns_ns = self.connect_ns = self.tls_ns = 0
        self.conn_id = MISSING
        self.conn_reused = self.kernel_stamped = self.cancelled = False
        self.pieces: list[bytes] = []
        self.stamps: list[int] = []
        self.head = b""
        self.status = MISSING
        self.bytes_received = 0
        self.error = _NO_ERROR
        self.error_text = ""
        self.when_sent: Callable[[Exchange], None] | None = None
        self.when_read: Callable[[Exchange], None] | None = None

    def retry(self) -> None:
        """Make it a second attempt: nothing failed yet, and the request id says so."""
        self.attempt = 1
        self.error, self.error_text = _NO_ERROR, ""
        self.end_ns = MISSING
        # The request id is the last header line, see RequestFactory.
        self.request = self.request.replace(b"-0\r\n\r\n", b"-1\r\n\r\n", 1)

    def fail(self, kind: ErrorKind, text: str) -> None:
        """Note why it failed; the first reason stays."""
        if self.error == _NO_ERROR:
            self.error = kind
            self.error_text = text


class ExchangeSink(Protocol):
    """Who is told when an exchange is over, whichever way."""

    def finished(self, exchange: Exchange) -> None:
        """Take the exchange; called on the event loop, once per exchange."""
        ...


class Transport(Protocol):
    """Carries exchanges to servers; one per worker."""

    def __init__(
        self,
        plan: EndpointPlan,
        targets: Sequence[Target],
        sink: ExchangeSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Called by the worker when it is configured."""

    async def open(self, connections: int) -> None:
        """Have up to `connections` ready, spread over the targets, before load begins."""

    def submit(self, exchange: Exchange) -> None:
        """Send it, at once if a connection is free, else on a new one."""

    def end_session(self, session: int) -> None:
        """Free what is kept for a session whose last exchange was not marked `session_over`."""

    def cancel(self, exchange: Exchange, text: str) -> None:
        """End one exchange as cancelled, on the wire too; nothing happens when it is over."""

    def cancel_all(self, text: str) -> None:
        """End everything in flight as cancelled."""

    def sweep(self, now_ns: int) -> None:
        """End exchanges whose time is over; called a few times a second."""

    def set_wall_offset(self, offset_ns: int) -> None:
        """Use this CLOCK_REALTIME - CLOCK_MONOTONIC for kernel stamps from now on."""

    async def close(self) -> None:
        """Close every connection."""
