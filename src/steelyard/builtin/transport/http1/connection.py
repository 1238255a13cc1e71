"""One HTTP/1.1 connection: a socket, a parser, the exchange it carries."""

import asyncio
import os
import socket
import time
from typing import Protocol

import httptools

from steelyard.builtin.transport.http1.dial import Dialed
from steelyard.domain.bench.protocol.http_head import ends_with_connection
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.sockets import STAMP_SPACE, stamp_of

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
_FINAL_STATUS = 200
_now = time.monotonic_ns


class Owner(Protocol):
    """Who holds connections: their event loop, one buffer for all, and the clocks' distance.

    Attributes:
        buffer: what a read fills; `buffers` is the same as a sequence, for `recvmsg_into`.
        room: where what a read brought is decrypted to.
        wall_offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC.
    """

    loop: asyncio.AbstractEventLoop
    buffer: memoryview
    buffers: tuple[memoryview, ...]
    room: memoryview
    wall_offset_ns: int

    def released(self, connection: "Connection") -> None:
        """Take a connection back: its exchange is over, or it broke."""

    def forget(self, connection: "Connection") -> None:
        """Drop an idle connection that was closed."""


class Connection:
    """Sends one exchange at a time and stamps what comes back.

    The parser calls the `on_*` methods. Nothing here reads a body's meaning.

    Attributes:
        on_body: keeps a piece of the body; a list's own `append`, for there are as many pieces as
            tokens. They get their stamp after each read.
        stamp_ns: when what was read last arrived, or the request began, CLOCK_MONOTONIC.
        session: whose connection it is, where connections belong to sessions.
        usable: another request may go out on it.
        stale: the server had closed it before answering a byte of a request that it once could
            carry, so that sending again repeats nothing the server began.
    """

    __slots__ = (
        "_keep_alive", "_out_of_step", "_owner", "_parser", "_pieces", "_rest",
        "_served", "_sock", "_stamped", "_whole", "exchange", "number", "on_body", "session",
        "stale", "stamp_ns", "target", "usable",
    )  # fmt: skip

    def __init__(self, owner: Owner, dialed: Dialed, target: int, number: int) -> None:
        self._owner = owner
        self._sock = dialed.sock
        self._stamped = dialed.stamped
        self._pieces: list[bytes] = []
        self._whole: int | None = None
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._rest: memoryview | None = None
        self._out_of_step = False
        self._keep_alive = True
        self._served = 0
        self.stamp_ns = 0
        self.exchange: Exchange | None = None
        self.target = target
        self.number = number
        self.session = MISSING
        self.usable = True
        self.stale = False
        owner.loop.add_reader(dialed.sock.fileno(), self._readable)

    def send(self, exchange: Exchange, payload: bytes | None = None) -> None:
        """Begin the exchange; its start is stamped right before the first byte is handed over.

        Args:
            exchange: what to send, and where to keep what comes back.
            payload: the bytes to send when they are not the request's own.
        """
        self.exchange = exchange
        exchange.pieces = self._pieces
        exchange.conn_id = self.number
        exchange.conn_reused = self._served > 0
        exchange.kernel_stamped = self._stamped
        self._served += 1
        if payload is None:
            payload = exchange.request
        start_ns = _now()
        exchange.start_ns = self.stamp_ns = start_ns
        try:
            sent = self._sock.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(ErrorKind.RESET, f"sending failed: {error.strerror}")
            return
        if sent == len(payload):
            exchange.sent_ns = _now()
            if exchange.when_sent is not None:
                exchange.when_sent(exchange)
        else:
            self._rest = memoryview(payload)[sent:]
            self._owner.loop.add_writer(self._sock.fileno(), self._writable)

    def close(self) -> None:
        """Close the socket; the connection can't be used again."""
        self.usable = False
        number = self._sock.fileno()
        if number < 0:
            return
        self._owner.loop.remove_reader(number)
        if self._rest is not None:
            self._owner.loop.remove_writer(number)
            self._rest = None
        self._sock.close()

    # --- event loop ----------------------------------------------------------------------------

    def _writable(self) -> None:
        exchange, rest = self.exchange, self._rest
        if exchange is None or rest is None:
            return
        try:
            rest = rest[self._sock.send(rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(ErrorKind.RESET, f"sending failed: {error.strerror}")
            return
        self._rest = rest
        if not rest:
            self._owner.loop.remove_writer(self._sock.fileno())
            self._rest = None
            exchange.sent_ns = _now()
            if exchange.when_sent is not None:
                exchange.when_sent(exchange)

    def _readable(self) -> None:
        owner = self._owner
        try:
            size, ancillary, _, _ = self._sock.recvmsg_into(owner.buffers, STAMP_SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(ErrorKind.RESET, f"the connection broke: {error.strerror}")
            return
        exchange = self.exchange
        if exchange is None:
            self._unasked(owner.buffer[:size])
            return
        if size == 0:
            self._ended(exchange)
            return
        before_ns = self.stamp_ns
        if ancillary:
            self.stamp_ns = stamp_of(ancillary) - owner.wall_offset_ns
        else:
            self.stamp_ns = _now()
            exchange.kernel_stamped = False
        exchange.bytes_received += size
        self._take(exchange, owner.buffer[:size], before_ns)

    def _unasked(self, _: memoryview) -> None:
        """Bytes or an end between requests: the server closed, or is out of step."""
        self.close()
        self._owner.forget(self)

    def _take(self, exchange: Exchange, data: memoryview, before_ns: int) -> None:
        """Parse what a read brought; `before_ns` is the stamp of the read before it."""
        stamps = exchange.stamps
        seen_ns = MISSING
        if not stamps:
            seen_ns = _now()
            exchange.before_body_ns = before_ns
            if exchange.first_byte_ns == MISSING:
                exchange.first_byte_ns = self.stamp_ns
                exchange.head = bytes(data[:HEAD_BYTES_MAX])
            elif len(exchange.head) < HEAD_BYTES_MAX:
                exchange.head += data[:HEAD_BYTES_MAX]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._whole is None:
                self._stamp(exchange, seen_ns)
                self._broken(ErrorKind.PROTOCOL, _unreadable(error))
                return
            self._out_of_step = True
        self._stamp(exchange, seen_ns)
        if self._whole is not None:
            self._finish(exchange)
            return
        if exchange.when_read is not None:
            exchange.when_read(exchange)
        if exchange.bytes_received > HEAD_BYTES_MAX:
            self._check_size(exchange)

    def _stamp(self, exchange: Exchange, seen_ns: int) -> None:
        """Give the pieces that a read brought its stamp."""
        stamps = exchange.stamps
        whole = len(self._pieces) if self._whole is None else self._whole
        if fresh := whole - len(stamps):
            if not stamps:
                exchange.lag_ns = seen_ns - self.stamp_ns
            stamps.extend([self.stamp_ns] * fresh)

    def give_back(self) -> Exchange | None:
        """Return the exchange that is over, with what came of its body, and be without one."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.pieces = self._pieces[: self._whole]
        self._pieces.clear()
        self._whole = None
        return exchange

    def _check_size(self, exchange: Exchange) -> None:
        if not exchange.stamps:
            text = f"the head of the response exceeds {HEAD_BYTES_MAX} bytes"
            self._broken(ErrorKind.TOO_LARGE, text)
        elif exchange.bytes_received > BODY_BYTES_MAX:
            self._broken(ErrorKind.TOO_LARGE, f"the response exceeds {BODY_BYTES_MAX} bytes")

    def _ended(self, exchange: Exchange) -> None:
        """The server closed the connection with the exchange under way."""
        if exchange.first_byte_ns == MISSING:
            self._broken(ErrorKind.RESET, "the server closed the connection without an answer")
        elif ends_with_connection(exchange.head):
            exchange.status = self._parser.get_status_code()
            self.close()
            exchange.end_ns = self.stamp_ns
            self._owner.released(self)
        else:
            self._broken(ErrorKind.TRUNCATED, "the server closed the connection in mid-answer")

    def _finish(self, exchange: Exchange) -> None:
        """Give the complete exchange back; what came behind its end makes the connection useless.

        So does an answer that did not wait for the whole request.
        """
        exchange.end_ns = self.stamp_ns
        if not self._keep_alive or self._out_of_step or self._rest is not None:
            self.close()
        self._owner.released(self)

    def check(self) -> None:
        """Notice a connection that broke behind its last data.

        libuv stops watching a socket when an error comes with data: the data is read, and nothing
        would ever tell of the error. Called by the sweep, since asking costs as much as a read.
        """
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._broken(ErrorKind.RESET, f"the connection broke: {os.strerror(number)}")

    def _broken(self, kind: ErrorKind, text: str) -> None:
        exchange = self.exchange
        self.close()
        if exchange is None:
            self._owner.forget(self)
            return
        self.stale = exchange.conn_reused and exchange.first_byte_ns == MISSING
        exchange.end_ns = _now()
        exchange.fail(kind, text)
        self._owner.released(self)

    # --- parser --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note an answer behind the one that was asked for."""
        if self._whole is not None:
            self._out_of_step = True

    def on_message_complete(self) -> None:
        """Note the end, unless of an interim (1xx) answer; acted upon when the parser returns.

        So is how much of the body there is: nothing behind the end is taken for it.
        """
        exchange, parser = self.exchange, self._parser
        if exchange is None or self._whole is not None:
            return
        status = parser.get_status_code()
        if status >= _FINAL_STATUS:
            exchange.status = status
            self._whole = len(self._pieces)
            self._keep_alive = parser.should_keep_alive()


def _unreadable(error: Exception) -> str:
    if isinstance(error, httptools.HttpParserUpgrade):
        return "the server switched to another protocol, for which nobody asked"
    return f"not HTTP/1.1: {error}"
