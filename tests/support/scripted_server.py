"""A server on loopback that says exactly what a test tells it to, and a transport to it."""

import asyncio
import socket
import ssl
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

import numpy as np
import trustme

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.builtin.transport.http1 import Http1Transport
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE
from steelyard.domain.bench.targets import parse_target
from steelyard.runtime.board import Cell
from steelyard.runtime.exchange import Exchange, Prepared
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.sockets import STAMP_SPACE, open_stream

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: r-0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
)
WAIT_S = 60


def exchange(index: int = 0, request: bytes = REQUEST, url: int = 0) -> Exchange:
    """Return an exchange that is due now."""
    return Exchange(index, Prepared(0, url, b"", b""), request, time.monotonic_ns())


def server_tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a server's context with a certificate for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def is_stamped() -> bool:
    """Tell whether the kernel stamps what arrives on sockets that ask for it, or never will."""
    receiver, asked = open_stream(socket.AF_INET)
    with receiver, socket.create_server(("127.0.0.1", 0)) as server:
        receiver.setblocking(True)
        receiver.connect(server.getsockname())
        sender, _ = server.accept()
        with sender:
            sender.send(b"x")
            return not asked or bool(receiver.recvmsg(1, STAMP_SPACE)[1])


class OneEach:
    """A tokenizer for answers whose tokens do not matter."""

    def count(self, text: str) -> int:
        """Return 1."""
        return 1


def recorded(ended: Exchange, *, streaming: bool) -> tuple[np.void, np.ndarray]:
    """Return the record of an ended chat exchange, and its gaps, as a worker makes them."""
    batches: list[RecordBatch] = []
    cells = memoryview(array("q", [0] * (max(Cell) + 1)))
    endpoint = ChatEndpoint(EndpointPlan(streaming=streaming))
    loop = asyncio.get_running_loop()
    recorder = Recorder(0, endpoint, OneEach, cells, batches.append, loop)
    recorder.begin(0, streaming=streaming)
    recorder.add(ended)
    recorder.drain()
    recorder.flush()
    (batch,) = batches
    return np.frombuffer(batch.data, RECORD_DTYPE)[0], np.frombuffer(batch.gaps, np.int64)


class Sink:
    """Hands finished exchanges to the test."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Exchange] = asyncio.Queue()

    def finished(self, ended: Exchange) -> None:
        """Called by the transport."""
        self.queue.put_nowait(ended)

    async def next(self) -> Exchange:
        """Return the exchange that ended next."""
        async with asyncio.timeout(WAIT_S):
            return await self.queue.get()


class Rig:
    """A server with the given handler per connection, and a transport to it.

    Args:
        handler: serves a connection; it is closed afterwards.
        tls: context of a server that speaks TLS.
        unix: path of a Unix socket to listen on, in place of TCP.
        plan: fields of the endpoint's plan.
    """

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, unix: str = "", **plan: Any
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._unix = unix
        self._plan = plan
        self._serving: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.sink = Sink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
            self._serving.discard(task)

    async def __aenter__(self) -> Self:
        if self._unix:
            self.server = await asyncio.start_unix_server(self._serve, self._unix)
            self.url = f"unix:{self._unix}"
        else:
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
            port = self.server.sockets[0].getsockname()[1]
            self.url = f"{'https' if self._tls else 'http'}://localhost:{port}"
        urls = self._plan.pop("urls", (self.url,))
        plan = EndpointPlan(urls=urls, **self._plan)
        targets = [parse_target(url) for url in urls]
        self.transport = Http1Transport(plan, targets, self.sink, asyncio.get_running_loop())
        for _ in range(400):  # the kernel begins to stamp a while later; workers have longer
            if is_stamped():
                break
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()
        self.server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def send(self, index: int = 0, request: bytes = REQUEST) -> Exchange:
        """Send one request and return its exchange when it is over."""
        self.transport.submit(exchange(index, request))
        return await self.sink.next()

    async def in_flight(self, request: bytes = REQUEST) -> Exchange:
        """Send one request and give it time to arrive; it stays under way."""
        begun = exchange(0, request)
        self.transport.submit(begun)
        await until(lambda: begun.sent_ns != MISSING or not self.sink.queue.empty())
        await asyncio.sleep(0.03)
        return begun


def answering(*answers: bytes, pause_s: float = 0.0) -> Handler:
    """Answer each request of a connection with the next answer, in the given pieces."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


def always(answer: bytes) -> Handler:
    """Answer every request of a connection with `answer`, until the client goes away."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return handler
