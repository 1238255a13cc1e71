"""TLS in memory: bytes in, bytes out, no socket, so that reads keep their kernel stamps."""

import ssl


class TlsSession:
    """One client side of TLS over memory buffers.

    Args:
        context: what is believed.
        host: the name that the certificate must be for, sent as SNI unless it is an address.

    Attributes:
        closed: the peer said that nothing more will come (close_notify).
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "closed")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.closed = False

    def shake(self) -> bool:
        """Take the handshake as far as it goes; True when it is over.

        Raises:
            ssl.SSLError: it failed; an alert may wait to be sent.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def received(self, data: bytes | memoryview) -> None:
        """Take bytes from the network; none stand for its end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def to_send(self) -> bytes:
        """Return the bytes that wait for the network."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def encrypted(self, data: bytes) -> bytes:
        """Return what carries `data`.

        Raises:
            ssl.SSLError: the session is broken.
        """
        written = self._tls.write(data)
        while written < len(data):
            written += self._tls.write(memoryview(data)[written:])
        return self._outgoing.read()

    def decrypt_into(self, room: memoryview) -> int:
        """Put into `room` what the received bytes carry, as far as whole records came.

        Raises:
            ssl.SSLError: the peer sent an alert, or what is no TLS.
        """
        tls, incoming = self._tls, self._incoming
        filled = 0
        try:
            while not self.closed:
                # With a buffer to fill, the answer is how much of it was.
                count: int = tls.read(len(room) - filled, room[filled:])  # type: ignore[assignment]
                self.closed = not count
                filled += count
                if not incoming.pending and not tls.pending():
                    break
        except ssl.SSLWantReadError:
            return filled
        return filled

    def farewell(self) -> bytes:
        """Return what tells the peer that nothing more will come (close_notify)."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # the peer's own has not come, or the session is broken: sent or not
            return self.to_send()
        return self.to_send()
