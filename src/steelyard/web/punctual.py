"""HTTP connections that are let go when a request's head does not come in time.

Else anybody, without a key, could hold as many connections as the service takes, for ever: uvicorn
bounds how long one is idle after an answer, and the guard how long a body takes, but nobody what is
before.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0
"""From when a connection is made, or from the first byte of a further request."""


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a bound on how long a head may take."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is not whole by now has to be soon."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._rest()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.transport.is_closing() or not self._is_waiting():
            self._rest()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _is_waiting(self) -> bool:
        """Tell whether a head is to come, or the rest of a body that was answered without it.

        The guard refuses strangers so; and uvicorn waits for ever once a byte of it came.
        """
        state = self.conn.their_state
        if state is not h11.SEND_BODY:
            return state is h11.IDLE
        return getattr(self.cycle, "response_complete", False)  # no cycle: an upgrade came first

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
