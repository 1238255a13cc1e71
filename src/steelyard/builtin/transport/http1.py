"""Transport `http1`: HTTP/1.1 over our own non-blocking sockets, with kernel receive stamps.

A pool of keep-alive connections per target. A request goes out on a free connection, or on a new
one when none is free; a connection that the server had closed while idle is replaced and the
request sent again once, which its record shows (`attempt`).
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Sequence

from steelyard.builtin.transport.http1_connection import Connection
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.domain.bench.targets import Target
from steelyard.kernel.units import NS_PER_S, seconds_to_ns
from steelyard.runtime.exchange import Exchange, ExchangeSink
from steelyard.runtime.sockets import open_stream

READ_BYTES = 256 * 1024
Address = tuple[int, str | tuple[str, int]]


class Http1Transport:
    """A pool of connections to each target."""

    def __init__(
        self,
        plan: EndpointPlan,
        targets: Sequence[Target],
        sink: ExchangeSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.loop = loop
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.wall_offset_ns = time.time_ns() - time.monotonic_ns()
        self._sink = sink
        self._targets = tuple(targets)
        self._reuse = plan.connection_reuse != "never"
        self._timeout_ns = seconds_to_ns(plan.request_timeout_s)
        self._connect_timeout_s = plan.connect_timeout_s
        self._idle: list[deque[Connection]] = [deque() for _ in targets]
        self._busy: set[Connection] = set()
        self._connecting: dict[asyncio.Task[None], Exchange] = {}
        self._addresses: list[tuple[Address, ...]] = [() for _ in targets]
        self._connections = 0

    # --- called by the worker ------------------------------------------------------------------

    async def open(self, connections: int) -> None:
        """Connect ahead of the load; failures are left to the requests that will meet them."""
        jobs = [
            self._connect_idle(number % len(self._targets))
            for number in range(connections if self._reuse else 0)
        ]
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, OSError):
                raise outcome

    def submit(self, exchange: Exchange) -> None:
        """Send on the most recently used free connection, or on a new one."""
        exchange.submitted_ns = time.monotonic_ns()
        idle = self._idle[exchange.url]
        if idle and exchange.attempt == 0:
            connection = idle.pop()
            self._busy.add(connection)
            connection.send(exchange)
        else:
            task = self.loop.create_task(self._connect_and_send(exchange))
            self._connecting[task] = exchange
            task.add_done_callback(self._connecting.pop)

    def cancel_all(self, text: str) -> None:
        """End everything in flight as cancelled."""
        self._end_where(ErrorKind.CANCELLED, text, submitted_to_ns=None)

    def sweep(self, now_ns: int) -> None:
        """End exchanges whose time is over, with what came until then."""
        text = f"no complete response within {self._timeout_ns / NS_PER_S:g} s"
        self._end_where(ErrorKind.TIMEOUT_REQUEST, text, submitted_to_ns=now_ns - self._timeout_ns)

    def _end_where(self, kind: ErrorKind, text: str, *, submitted_to_ns: int | None) -> None:
        """Fail the exchanges submitted until then, or all of them."""
        for connection in tuple(self._busy):
            exchange = connection.exchange
            if exchange and (submitted_to_ns is None or exchange.submitted_ns <= submitted_to_ns):
                exchange.cancelled = kind == ErrorKind.CANCELLED
                exchange.fail(kind, text)
                exchange.end_ns = time.monotonic_ns()
                connection.close()
                self.released(connection)
        for task, exchange in tuple(self._connecting.items()):
            if submitted_to_ns is None or exchange.submitted_ns <= submitted_to_ns:
                exchange.cancelled = kind == ErrorKind.CANCELLED
                exchange.fail(kind, text)
                task.cancel()

    def set_wall_offset(self, offset_ns: int) -> None:
        """Use this CLOCK_REALTIME - CLOCK_MONOTONIC for kernel stamps from now on."""
        self.wall_offset_ns = offset_ns

    async def close(self) -> None:
        """Close every connection; what is in flight is cancelled first."""
        self.cancel_all("the worker stopped")
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for idle in self._idle:
            while idle:
                idle.pop().close()

    # --- connecting ----------------------------------------------------------------------------

    async def _connect_and_send(self, exchange: Exchange) -> None:
        try:
            connection = await self._connect(exchange.url, exchange)
        except TimeoutError:
            limit = f"{self._connect_timeout_s:g} s"
            exchange.fail(ErrorKind.TIMEOUT_CONNECT, f"no connection within {limit}")
        except socket.gaierror as error:
            exchange.fail(ErrorKind.DNS, f"the host name was not resolved: {error.strerror}")
        except OSError as error:
            exchange.fail(ErrorKind.CONNECT, f"connecting failed: {error.strerror or error}")
        except asyncio.CancelledError:
            self._end(exchange)
            raise
        else:
            self._busy.add(connection)
            connection.send(exchange)
            return
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        exchange.end_ns = time.monotonic_ns()
        self._sink.finished(exchange)

    async def _connect_idle(self, target: int) -> None:
        self._idle[target].append(await self._connect(target, None))

    async def _connect(self, target: int, exchange: Exchange | None) -> Connection:
        """Open a connection, trying the target's addresses in turn.

        Raises:
            OSError: none of them answered.
            TimeoutError: the time to connect is over.
        """
        async with asyncio.timeout(self._connect_timeout_s):
            began_ns = time.monotonic_ns()
            addresses = self._addresses[target] or await self._resolve(target)
            resolved_ns = time.monotonic_ns()
            failure: OSError | None = None
            for family, address in addresses:
                sock, stamped = open_stream(family)
                try:
                    await self.loop.sock_connect(sock, address)
                except OSError as error:
                    failure = error
                    sock.close()
                    continue
                except BaseException:
                    sock.close()
                    raise
                if exchange is not None:
                    exchange.dns_ns = resolved_ns - began_ns
                    exchange.connect_ns = time.monotonic_ns() - resolved_ns
                self._connections += 1
                return Connection(self, sock, target, self._connections, stamped=stamped)
            raise failure or OSError("the host name has no address")

    async def _resolve(self, target: int) -> tuple[Address, ...]:
        where = self._targets[target]
        if where.unix_path:
            found: tuple[Address, ...] = ((socket.AF_UNIX, where.unix_path),)
        else:
            rows = await self.loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
            found = tuple((int(row[0]), (str(row[4][0]), where.port)) for row in rows)
        self._addresses[target] = found
        return found

    # --- called by connections -----------------------------------------------------------------

    def released(self, connection: Connection) -> None:
        """Take a connection back: its exchange is over, or it broke."""
        exchange, connection.exchange = connection.exchange, None
        self._busy.discard(connection)
        if connection.usable and self._reuse:
            self._idle[connection.target].append(connection)
        elif connection.usable:
            connection.close()
        if exchange is None:
            return
        if connection.stale and exchange.attempt == 0:
            exchange.retry()
            self.submit(exchange)
        else:
            self._sink.finished(exchange)

    def forget(self, connection: Connection) -> None:
        """Drop an idle connection that the server closed."""
        idle = self._idle[connection.target]
        if connection in idle:
            idle.remove(connection)
