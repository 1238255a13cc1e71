"""Opening connections: names resolved, address families raced, TLS agreed on."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from steelyard.builtin.transport.http1.tls_session import TlsSession
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.domain.bench.targets import Target
from steelyard.runtime.sockets import open_stream
from steelyard.runtime.tls import client_context, explain

STAGGER_S = 0.25
RESOLVE_AGAIN_NS = 1_000_000_000
Address = tuple[int, Any]


class DialError(Exception):
    """No connection: which kind of failure, and why."""

    def __init__(self, kind: ErrorKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class SetupTimes:
    """How long the steps to a connection took, ns, as far as it came."""

    __slots__ = ("connect_ns", "dns_ns", "tls_ns")

    def __init__(self) -> None:
        self.dns_ns = self.connect_ns = self.tls_ns = 0


class Dialed(NamedTuple):
    """A connection: its socket, whether the kernel stamps its reads, TLS where it is spoken."""

    sock: socket.socket
    stamped: bool
    tls: TlsSession | None


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses with families taking turns, the resolver's first one first.

    Source: RFC 8305, section 4.
    """
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for address in chain.from_iterable(turns) if address is not None]


class Dialer:
    """Connects to targets; names are resolved once, and again after no address answered.

    Raises:
        UsageError: TLS is wanted and its CA certificates can't be read.
    """

    def __init__(
        self, plan: EndpointPlan, targets: Sequence[Target], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._targets = targets
        self._addresses: list[list[Address]] = [[] for _ in targets]
        self._resolved_ns = [0] * len(targets)
        self._resolving = [asyncio.Lock() for _ in targets]
        self._context = client_context(plan) if any(target.tls for target in targets) else None

    async def dial(self, target: int, times: SetupTimes) -> Dialed:
        """Open a connection; `times` is filled as the steps are done.

        Raises:
            DialError: there is none.
        """
        began_ns = time.monotonic_ns()
        addresses = self._addresses[target] or await self._resolve(target)
        resolved_ns = time.monotonic_ns()
        times.dns_ns = resolved_ns - began_ns
        try:
            sock, stamped, address = await self._race(addresses)
        except OSError as error:
            if resolved_ns - self._resolved_ns[target] > RESOLVE_AGAIN_NS:
                self._addresses[target] = []
            text = f"connecting failed: {error.strerror or error}"
            raise DialError(ErrorKind.CONNECT, text) from error
        if address is not addresses[0]:
            # The next connection begins with what answered (RFC 8305, section 4, last rule).
            addresses.remove(address)
            addresses.insert(0, address)
        connected_ns = time.monotonic_ns()
        times.connect_ns = connected_ns - resolved_ns
        if not self._targets[target].tls or self._context is None:
            return Dialed(sock, stamped, None)
        session = TlsSession(self._context, self._targets[target].host)
        await self._handshake(sock, session)
        times.tls_ns = time.monotonic_ns() - connected_ns
        return Dialed(sock, stamped, session)

    async def _resolve(self, target: int) -> list[Address]:
        where = self._targets[target]
        if where.unix_path:
            self._addresses[target] = [(socket.AF_UNIX, where.unix_path)]
        async with self._resolving[target]:
            if not self._addresses[target]:
                try:
                    rows = await self._loop.getaddrinfo(
                        where.host, where.port, type=socket.SOCK_STREAM
                    )
                except OSError as error:
                    text = f"the host name was not resolved: {error.strerror or error}"
                    raise DialError(ErrorKind.DNS, text) from error
                self._resolved_ns[target] = time.monotonic_ns()
                self._addresses[target] = interleaved([(int(row[0]), row[4]) for row in rows])
        return self._addresses[target]

    async def _race(self, addresses: Sequence[Address]) -> tuple[socket.socket, bool, Address]:
        """Connect to the first address that answers (RFC 8305, section 5).

        Raises:
            OSError: none did; the first one's reason.
        """
        if len(addresses) == 1:
            return await self._connect(addresses[0])
        waiting = list(addresses)
        failures: list[OSError] = []
        attempts: set[asyncio.Task[tuple[socket.socket, bool, Address]]] = set()
        try:
            while waiting or attempts:
                if waiting:
                    attempts.add(self._loop.create_task(self._connect(waiting.pop(0))))
                done, attempts = await asyncio.wait(
                    attempts,
                    timeout=STAGGER_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                winners = _winners(done, failures)
                if winners:
                    for spare in winners[1:]:
                        spare[0].close()
                    return winners[0]
        finally:
            for task in attempts:
                task.cancel()
                task.add_done_callback(_close_late)
        raise failures[0] if failures else OSError("the host name has no address")

    async def _connect(self, address: Address) -> tuple[socket.socket, bool, Address]:
        family, where = address
        sock, stamped = open_stream(family)
        try:
            await self._loop.sock_connect(sock, where)
        except BaseException:
            sock.close()
            raise
        return sock, stamped, address

    async def _handshake(self, sock: socket.socket, session: TlsSession) -> None:
        try:
            done = False
            while not done:
                done = session.shake()
                if to_send := session.to_send():
                    await self._loop.sock_sendall(sock, to_send)
                if not done:
                    session.received(await self._loop.sock_recv(sock, 1 << 16))
        except OSError as error:
            # A server that refuses us is told why: the alert waits to be sent.
            with suppress(OSError):
                sock.send(session.to_send())
            sock.close()
            raise DialError(ErrorKind.TLS, explain(error)) from error
        except BaseException:
            sock.close()
            raise


def _winners(
    done: set[asyncio.Task[tuple[socket.socket, bool, Address]]], failures: list[OSError]
) -> list[tuple[socket.socket, bool, Address]]:
    """Return what the attempts came to; failures to connect are added to `failures`."""
    winners = []
    for task in done:
        try:
            winners.append(task.result())
        except OSError as error:
            failures.append(error)
    return winners


def _close_late(task: asyncio.Task[tuple[socket.socket, bool, Address]]) -> None:
    """Close what connected just when it was no longer wanted."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].close()
