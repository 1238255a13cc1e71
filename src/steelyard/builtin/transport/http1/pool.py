"""Connections to the targets: which one an exchange goes out on, and what becomes of it after.

A request goes out on a free connection, or on a new one when none is free; a connection that the
server had closed while idle is replaced and the request sent again once, which its record shows
(`attempt`).
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Sequence

from steelyard.builtin.transport.http1.connection import Connection
from steelyard.builtin.transport.http1.deadlines import Deadlines
from steelyard.builtin.transport.http1.dial import Dialed, Dialer, DialError, SetupTimes
from steelyard.builtin.transport.http1.tls_connection import TlsConnection
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.domain.bench.targets import Target
from steelyard.runtime.exchange import Exchange, ExchangeSink
from steelyard.runtime.sockets import open_stream

READ_BYTES = 256 * 1024
ROOM_BYTES = READ_BYTES + 128 * 1024  # a read, and records begun before it
AHEAD_S = 5.0
"""How long the load waits for connections opened ahead of it."""


class Http1Transport:
    """A pool of connections to each target.

    `connection_reuse` decides what becomes of a free connection: `pooled` gives it to any request,
    `never` closes it, `sticky-user-sessions` keeps it for its session until that is over.

    Bodies are kept as they came. No request asks for a coding (`Accept-Encoding`), so a compressed
    answer is not read: its record is a failure that names the coding.
    """

    def __init__(
        self,
        plan: EndpointPlan,
        targets: Sequence[Target],
        sink: ExchangeSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.loop = loop
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.buffers: tuple[memoryview, ...] = (self.buffer,)
        tls = any(target.tls for target in targets)
        self.room = memoryview(bytearray(ROOM_BYTES if tls else 0))
        self.wall_offset_ns = time.time_ns() - time.monotonic_ns()
        # The kernel begins to stamp a moment after the first socket asked it to, and stops with the
        # last: one that is never connected keeps it at it, from before the load to its end.
        self._stamping, _ = open_stream(socket.AF_INET)
        self._sink = sink
        self._dialer = Dialer(plan, targets, loop)
        self._deadlines = Deadlines(plan)
        self._connect_s = plan.connect_timeout_s
        self._next_sweep_ns = 0
        self._pooled = plan.connection_reuse == "pooled"
        self._sticky = plan.connection_reuse == "sticky-user-sessions"
        self._idle: list[deque[Connection]] = [deque() for _ in targets]
        self._of_session: dict[int, Connection] = {}
        self._busy: dict[int, Connection] = {}
        self._connecting: dict[asyncio.Task[Dialed], tuple[Exchange, SetupTimes, int]] = {}
        self._connections = 0

    # --- called by the worker ------------------------------------------------------------------

    async def open(self, connections: int) -> None:
        """Connect ahead of the load; failures are left to the requests that will meet them.

        So is what takes longer than a request may wait for a connection, or `AHEAD_S`.
        """
        ahead = connections if self._pooled or self._sticky else 0
        jobs = [
            self.loop.create_task(self._open_idle(number % len(self._idle)))
            for number in range(ahead)
        ]
        if not jobs:
            return
        _, late = await asyncio.wait(jobs, timeout=min(self._connect_s or AHEAD_S, AHEAD_S))
        for job in late:
            job.cancel()
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, DialError):
                raise outcome

    async def _open_idle(self, target: int) -> None:
        dialed = await self._dialer.dial(target, SetupTimes())
        self._idle[target].append(self._connection(dialed, target))

    def submit(self, exchange: Exchange) -> None:
        """Send on the most recently used free connection, or on a new one."""
        exchange.submitted_ns = time.monotonic_ns()
        idle = self._idle[exchange.url]
        if self._of_session and (own := self._taken_from_session(exchange)):
            self._busy[own.number] = own
            own.send(exchange)
        elif idle:
            connection = idle.pop()
            self._busy[connection.number] = connection
            connection.send(exchange)
        else:
            self._dial(exchange)

    def end_session(self, session: int) -> None:
        """Close the connection of a session that sends nothing more."""
        connection = self._of_session.pop(session, None)
        if connection is not None:
            connection.close()

    def cancel(self, exchange: Exchange, text: str) -> None:
        """End one exchange as cancelled and close its connection, if it is still under way."""
        connection = self._busy.get(exchange.conn_id)
        if connection is not None and connection.exchange is exchange:
            self._end_on(connection, ErrorKind.CANCELLED, text)
            return
        for task, (waiting, _, _) in tuple(self._connecting.items()):
            if waiting is exchange:
                _fail(exchange, ErrorKind.CANCELLED, text)
                task.cancel()

    def cancel_all(self, text: str) -> None:
        """End everything in flight as cancelled."""
        for connection in tuple(self._busy.values()):
            self._end_on(connection, ErrorKind.CANCELLED, text)
        for task, (exchange, _, _) in tuple(self._connecting.items()):
            _fail(exchange, ErrorKind.CANCELLED, text)
            task.cancel()

    def sweep(self, now_ns: int) -> None:
        """End exchanges whose connection broke or whose time is over, with what came until then."""
        for connection in tuple(self._busy.values()):
            connection.check()
        if now_ns < self._next_sweep_ns:
            return
        limits = self._deadlines
        next_ns = now_ns + limits.least_ns
        for connection in tuple(self._busy.values()):
            if connection.exchange is None:
                continue
            due_ns, kind = limits.under_way(connection.exchange, connection.stamp_ns)
            if due_ns <= now_ns:
                self._end_on(connection, kind, limits.text(kind))
            else:
                next_ns = min(next_ns, due_ns)
        for task, (exchange, _, began_ns) in tuple(self._connecting.items()):
            due_ns, kind = limits.connecting(exchange, began_ns)
            if due_ns <= now_ns:
                _fail(exchange, kind, limits.text(kind))
                task.cancel()
            else:
                next_ns = min(next_ns, due_ns)
        self._next_sweep_ns = next_ns

    def set_wall_offset(self, offset_ns: int) -> None:
        """Use this CLOCK_REALTIME - CLOCK_MONOTONIC for kernel stamps from now on."""
        self.wall_offset_ns = offset_ns

    async def close(self) -> None:
        """Close every connection; what is in flight is cancelled first."""
        self.cancel_all("the worker stopped")
        while self._connecting:
            await asyncio.wait(self._connecting)
        for idle in self._idle:
            while idle:
                idle.pop().close()
        for session in tuple(self._of_session):
            self.end_session(session)
        self._stamping.close()

    # --- connecting ----------------------------------------------------------------------------

    def _connection(self, dialed: Dialed, target: int) -> Connection:
        self._connections += 1
        if dialed.tls is not None:
            return TlsConnection(self, dialed, dialed.tls, target, self._connections)
        return Connection(self, dialed, target, self._connections)

    def _dial(self, exchange: Exchange) -> None:
        times = SetupTimes()
        task = self.loop.create_task(self._dialer.dial(exchange.url, times))
        self._connecting[task] = (exchange, times, time.monotonic_ns())
        task.add_done_callback(self._dialed)

    def _dialed(self, task: asyncio.Task[Dialed]) -> None:
        """Send the exchange that waited for this connection, or end it without one."""
        exchange, times, _ = self._connecting.pop(task)
        exchange.dns_ns = times.dns_ns
        exchange.connect_ns = times.connect_ns
        exchange.tls_ns = times.tls_ns
        if task.cancelled():
            if exchange.error == ErrorKind.NONE:  # else it was ended with a reason of its own
                _fail(exchange, ErrorKind.CANCELLED, "the worker stopped")
        elif (error := task.exception()) is None:
            connection = self._connection(task.result(), exchange.url)
            if exchange.error == ErrorKind.NONE:
                self._busy[connection.number] = connection
                connection.send(exchange)
                return
            connection.close()  # its exchange was ended while the connection came about
        elif isinstance(error, DialError):
            exchange.fail(error.kind, error.text)
        else:
            exchange.fail(ErrorKind.INTERNAL, f"{type(error).__name__} while connecting: {error}")
        exchange.end_ns = time.monotonic_ns()
        self._sink.finished(exchange)

    # --- connections between exchanges ---------------------------------------------------------

    def released(self, connection: Connection) -> None:
        """Take a connection back: its exchange is over, or it broke."""
        exchange = connection.give_back()
        self._busy.pop(connection.number, None)
        if connection.usable:
            if self._pooled:
                self._idle[connection.target].append(connection)
            elif self._sticky and exchange is not None and not exchange.session_over:
                connection.session = exchange.session
                self._of_session[exchange.session] = connection
            else:
                connection.close()
        if exchange is None:
            return
        if connection.stale and exchange.attempt == 0:
            exchange.retry()
            self._dial(exchange)
        else:
            self._sink.finished(exchange)

    def forget(self, connection: Connection) -> None:
        """Drop an idle connection that the server closed."""
        idle = self._idle[connection.target]
        if connection in idle:
            idle.remove(connection)
        elif self._of_session.get(connection.session) is connection:
            del self._of_session[connection.session]

    def _taken_from_session(self, exchange: Exchange) -> Connection | None:
        """Return the connection of the exchange's session, to the right server."""
        connection = self._of_session.pop(exchange.session, None)
        if connection is None or connection.target == exchange.url:
            return connection
        connection.close()
        return None

    def _end_on(self, connection: Connection, kind: ErrorKind, text: str) -> None:
        exchange = connection.exchange
        if exchange is not None:
            _fail(exchange, kind, text)
            exchange.end_ns = time.monotonic_ns()
        connection.close()
        self.released(connection)


def _fail(exchange: Exchange, kind: ErrorKind, text: str) -> None:
    exchange.cancelled = kind == ErrorKind.CANCELLED
    exchange.fail(kind, text)
