"""One HTTP/1.1 connection of transport `http1`: a socket, a parser, the exchange it carries."""

import socket
import time
from typing import TYPE_CHECKING

import httptools

from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.sockets import STAMP_SPACE, stamp_of

if TYPE_CHECKING:
    from steelyard.builtin.transport.http1 import Http1Transport

HEAD_BYTES = 4096
BODY_BYTES_MAX = 64 * 1024 * 1024
_FINAL_STATUS = 200
_now = time.monotonic_ns


class Connection:
    """Sends one exchange at a time and stamps what comes back.

    The parser calls the `on_*` methods. Nothing here reads a body's meaning.

    Attributes:
        usable: another request may go out on it.
        stale: the server had closed it before answering a byte of a request that it once could
            carry, so that sending again repeats nothing the server began.
    """

    __slots__ = (
        "_complete", "_keep_alive", "_parser", "_pool", "_rest", "_seen_ns", "_served", "_sock",
        "_stamp_ns", "_stamped", "exchange", "number", "stale", "target", "usable",
    )  # fmt: skip

    def __init__(
        self,
        pool: "Http1Transport",
        sock: socket.socket,
        target: int,
        number: int,
        *,
        stamped: bool,
    ) -> None:
        self._pool = pool
        self._sock = sock
        self._stamped = stamped
        self._parser = httptools.HttpResponseParser(self)
        self._rest: memoryview | None = None
        self._complete = False
        self._keep_alive = True
        self._served = 0
        self._stamp_ns = self._seen_ns = 0
        self.exchange: Exchange | None = None
        self.target = target
        self.number = number
        self.usable = True
        self.stale = False
        pool.loop.add_reader(sock.fileno(), self._readable)

    def send(self, exchange: Exchange) -> None:
        """Begin the exchange; its start is stamped right before the first byte is handed over."""
        self.exchange = exchange
        exchange.conn_id = self.number
        exchange.conn_reused = self._served > 0
        exchange.kernel_stamped = self._stamped
        self._served += 1
        payload = exchange.request
        start_ns = _now()
        exchange.start_ns = self._stamp_ns = start_ns
        try:
            sent = self._sock.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(ErrorKind.RESET, f"sending failed: {error.strerror}")
            return
        if sent == len(payload):
            exchange.sent_ns = _now()
        else:
            self._rest = memoryview(payload)[sent:]
            self._pool.loop.add_writer(self._sock.fileno(), self._writable)

    def close(self) -> None:
        """Close the socket; the connection can't be used again."""
        self.usable = False
        number = self._sock.fileno()
        if number < 0:
            return
        self._pool.loop.remove_reader(number)
        if self._rest is not None:
            self._pool.loop.remove_writer(number)
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
            self._pool.loop.remove_writer(self._sock.fileno())
            self._rest = None
            exchange.sent_ns = _now()

    def _readable(self) -> None:
        pool = self._pool
        try:
            size, ancillary, _, _ = self._sock.recvmsg_into((pool.buffer,), STAMP_SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(ErrorKind.RESET, f"the connection broke: {error.strerror}")
            return
        self._seen_ns = _now()
        exchange = self.exchange
        if exchange is None:
            # Bytes or an end between requests: an idle connection was closed, or is out of step.
            self.close()
            pool.forget(self)
            return
        if size == 0:
            self._ended(exchange)
            return
        before_ns = self._stamp_ns
        real_ns = stamp_of(ancillary)
        if real_ns:
            self._stamp_ns = real_ns - pool.wall_offset_ns
        else:
            self._stamp_ns = self._seen_ns
            exchange.kernel_stamped = False
        data = pool.buffer[:size]
        if exchange.first_byte_ns == MISSING:
            exchange.first_byte_ns = self._stamp_ns
            exchange.head = bytes(data[:HEAD_BYTES])
        if not exchange.stamps:
            exchange.before_body_ns = before_ns
        exchange.bytes_received += size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._broken(ErrorKind.PROTOCOL, f"not HTTP/1.1: {error}")
            return
        if self._complete:
            self._finish(exchange)
        elif exchange.bytes_received > BODY_BYTES_MAX:
            self._broken(ErrorKind.TOO_LARGE, f"the response exceeds {BODY_BYTES_MAX} bytes")

    def _ended(self, exchange: Exchange) -> None:
        """The server closed the connection with the exchange under way."""
        if exchange.first_byte_ns == MISSING:
            self._broken(ErrorKind.RESET, "the server closed the connection without an answer")
        elif exchange.stamps and _until_close(exchange.head):
            exchange.status = self._parser.get_status_code()
            self.close()
            exchange.end_ns = self._stamp_ns
            self._pool.released(self)
        else:
            self._broken(ErrorKind.TRUNCATED, "the server closed the connection in mid-answer")

    def _finish(self, exchange: Exchange) -> None:
        self._complete = False
        exchange.end_ns = self._stamp_ns
        if not self._keep_alive or self._rest is not None:
            self.close()
        self._pool.released(self)

    def _broken(self, kind: ErrorKind, text: str) -> None:
        exchange = self.exchange
        self.close()
        if exchange is not None:
            self.stale = exchange.conn_reused and exchange.first_byte_ns == MISSING
            exchange.end_ns = _now()
            exchange.fail(kind, text)
        self._pool.released(self)

    # --- parser --------------------------------------------------------------------------------

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body with the stamp of the read that brought it."""
        exchange = self.exchange
        if exchange is None:
            return
        if not exchange.stamps:
            exchange.lag_ns = self._seen_ns - self._stamp_ns
        exchange.pieces.append(data)
        exchange.stamps.append(self._stamp_ns)

    def on_message_complete(self) -> None:
        """Note the end, unless of an interim (1xx) answer; acted upon when the parser returns."""
        parser = self._parser
        status = parser.get_status_code()
        if status >= _FINAL_STATUS and self.exchange is not None:
            self._complete = True
            self._keep_alive = parser.should_keep_alive()
            self.exchange.status = status


def _until_close(head: bytes) -> bool:
    """Return True when the body is delimited by the end of the connection (RFC 9112, 6.3)."""
    fields = head.split(b"\r\n\r\n", 1)[0].lower()
    return b"\r\ncontent-length:" not in fields and b"\r\ntransfer-encoding:" not in fields
