"""A connection that speaks TLS: the same socket and stamps, bytes turned on their way."""

import ssl
from contextlib import suppress

from steelyard.builtin.transport.http1.connection import Connection, Owner
from steelyard.builtin.transport.http1.dial import Dialed
from steelyard.builtin.transport.http1.tls_session import TlsSession
from steelyard.domain.bench.protocol.http_head import ends_with_connection
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.tls import explain


class TlsConnection(Connection):
    """Encrypts before the start is stamped, decrypts after the read is.

    The records that one read brought are parsed at once: they share its stamp.

    Args:
        owner, dialed, target, number: see `Connection`.
        session: of the socket, the handshake done.
    """

    __slots__ = ("_session",)

    def __init__(
        self, owner: Owner, dialed: Dialed, session: TlsSession, target: int, number: int
    ) -> None:
        super().__init__(owner, dialed, target, number)
        self._session = session

    def send(self, exchange: Exchange, payload: bytes | None = None) -> None:
        """Encrypt, then begin the exchange."""
        try:
            payload = self._session.encrypted(exchange.request if payload is None else payload)
        except ssl.SSLError as error:
            self.exchange = exchange
            self._broken(ErrorKind.TLS, explain(error))
            return
        super().send(exchange, payload)

    def close(self) -> None:
        """Say goodbye unless a record is on its way, then close."""
        if self._sock.fileno() >= 0 and self._rest is None:
            with suppress(OSError):  # the peer may be gone already
                self._sock.send(self._session.farewell())
        super().close()

    def _unasked(self, data: memoryview) -> None:
        """Keep the connection over what is TLS's own business, such as session tickets."""
        try:
            carried = self._decrypted(data)
        except OSError:
            super()._unasked(data)
            return
        if carried or self._session.closed:
            super()._unasked(data)

    def _take(self, exchange: Exchange, data: memoryview, before_ns: int) -> None:
        try:
            carried = self._decrypted(data)
        except OSError as error:
            self._broken(ErrorKind.TLS, explain(error))
            return
        if self._session.closed:
            self._out_of_step = True
        if carried:
            super()._take(exchange, carried, before_ns)
        if self._session.closed and self.exchange is exchange:
            self._ended(exchange)

    def _decrypted(self, data: memoryview) -> memoryview:
        """Return what `data` completes; what TLS has to say to it goes out.

        Raises:
            OSError: the session is broken, or the socket is.
        """
        session, room = self._session, self._owner.room
        session.received(data)
        size = session.decrypt_into(room)
        if answer := session.to_send():
            if self._rest is None:
                self._sock.sendall(answer)
            else:
                self._rest = memoryview(bytes(self._rest) + answer)
        return room[:size]

    def _ended(self, exchange: Exchange) -> None:
        """Believe the end of the connection only when the server announced it (RFC 9112, 9.8)."""
        started = exchange.first_byte_ns != MISSING
        if started and not self._session.closed and ends_with_connection(exchange.head):
            text = "the connection ended without a TLS close: the answer may be cut short"
            self._broken(ErrorKind.TRUNCATED, text)
        else:
            super()._ended(exchange)
