"""HTTP/1.1 over real sockets, against a server that says exactly what a test tells it to."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from steelyard.builtin.transport.http1 import Http1Transport
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.targets import parse_target
from steelyard.runtime.exchange import Exchange, Prepared

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: r-0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
)


class Sink:
    """Hands finished exchanges to the test."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Exchange] = asyncio.Queue()

    def finished(self, exchange: Exchange) -> None:
        self.queue.put_nowait(exchange)

    async def next(self) -> Exchange:
        async with asyncio.timeout(5):
            return await self.queue.get()


class Rig:
    """A server with the given handler per connection, and a transport to it."""

    def __init__(self, handler: Handler, **plan: object) -> None:
        self._handler = handler
        self._plan = plan
        self._serving: set[asyncio.Task[None]] = set()
        self.sink = Sink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._serving.discard(task)

    async def __aenter__(self) -> "Rig":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        target = parse_target(f"http://127.0.0.1:{port}")
        plan = EndpointPlan(urls=(target.url,), **self._plan)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        self.transport = Http1Transport(plan, [target], self.sink, loop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()
        self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def stop_listening(self) -> None:
        self._server.close()

    async def send(self, index: int = 0) -> Exchange:
        exchange = Exchange(index, Prepared(0, 0, b"", b""), REQUEST, time.monotonic_ns())
        self.transport.submit(exchange)
        return await self.sink.next()


def answering(*answers: bytes, pause_s: float = 0.0) -> Handler:
    """Answer each request of a connection with the next answer, in the given pieces."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


async def test_an_answer_in_one_read() -> None:
    """Status, body, sizes and the order of the stamps."""
    async with Rig(answering(OK, OK)) as rig:
        exchange = await rig.send()
    assert exchange.error == ErrorKind.NONE
    assert (exchange.status, exchange.pieces) == (200, [b"ok"])
    assert exchange.bytes_received == len(OK)
    assert exchange.start_ns <= exchange.sent_ns <= exchange.end_ns
    assert exchange.start_ns < exchange.first_byte_ns <= exchange.end_ns
    assert exchange.kernel_stamped
    assert exchange.lag_ns >= 0


async def test_a_connection_is_kept_and_used_again() -> None:
    """The second request goes out on the first one's connection."""
    async with Rig(answering(OK, CHUNKED, OK)) as rig:
        first, second = await rig.send(), await rig.send()
    assert not first.conn_reused
    assert second.conn_reused
    assert first.conn_id == second.conn_id
    assert b"".join(second.pieces) == b"hello world"


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + OK])
async def test_an_answer_byte_by_byte_is_the_same_answer(answer: bytes) -> None:
    """However the network splits it, interim answers included."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in answer:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with Rig(handler) as rig:
        exchange = await rig.send()
    assert exchange.error == ErrorKind.NONE
    assert exchange.status == 200
    assert b"".join(exchange.pieces) in (b"ok", b"hello world")


async def test_pieces_of_different_writes_have_different_stamps() -> None:
    """The kernel's stamps tell 20 ms between two chunks."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two"):
            await asyncio.sleep(0.02)
            writer.write(b"3\r\n" + word + b"\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with Rig(handler) as rig:
        exchange = await rig.send()
    assert exchange.pieces == [b"one", b"two"]
    assert exchange.stamps[1] - exchange.stamps[0] > 15_000_000
    assert exchange.before_body_ns == exchange.first_byte_ns


async def test_a_connection_closed_while_idle_is_replaced_and_the_request_sent_again() -> None:
    """The record shows the second attempt, and the request id does too."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()
        if len(seen) == 1:
            # Read the next request and close without a word, as a server does whose idle time
            # ran out just then.
            await reader.readuntil(b"\r\n\r\n")
        else:
            await reader.read()

    async with Rig(handler) as rig:
        await rig.send()
        exchange = await rig.send()
    assert exchange.error == ErrorKind.NONE
    assert exchange.attempt == 1
    assert not exchange.conn_reused
    assert b"X-Request-ID: r-1\r\n" in seen[1]


async def test_connection_close_is_obeyed() -> None:
    """The next request uses a new connection."""
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    async with Rig(answering(closing)) as rig:
        first, second = await rig.send(), await rig.send()
    assert first.conn_id != second.conn_id
    assert not second.conn_reused


async def test_a_body_until_the_end_of_the_connection() -> None:
    """Without a length the close is the end, not an error."""
    async with Rig(answering(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as rig:
        exchange = await rig.send()
    assert exchange.error == ErrorKind.NONE
    assert exchange.pieces == [b"all of it"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ErrorKind.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", ErrorKind.TRUNCATED),
        (CHUNKED[:-8], ErrorKind.TRUNCATED),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ErrorKind.PROTOCOL),
    ],
)
async def test_broken_answers_are_failures_with_a_kind(answer: bytes, kind: ErrorKind) -> None:
    """Each is told apart, and none raises."""
    async with Rig(answering(answer)) as rig:
        exchange = await rig.send()
    assert exchange.error == kind
    assert exchange.error_text


async def test_nobody_listening_is_a_connect_failure() -> None:
    """The record has no start: nothing was ever sent."""
    async with Rig(answering()) as rig:
        rig._server.close()
        await rig._server.wait_closed()
        exchange = await rig.send()
    assert exchange.error == ErrorKind.CONNECT
    assert exchange.start_ns == MISSING


async def test_a_request_over_its_time_is_ended_by_the_sweep() -> None:
    """A server that never answers costs the request, not the run."""
    async with Rig(answering(b"", pause_s=5), request_timeout_s=0.05) as rig:
        exchange = Exchange(0, Prepared(0, 0, b"", b""), REQUEST, time.monotonic_ns())
        rig.transport.submit(exchange)
        await asyncio.sleep(0.1)
        rig.transport.sweep(time.monotonic_ns())
        ended = await rig.sink.next()
    assert ended.error == ErrorKind.TIMEOUT_REQUEST
    assert "0.05 s" in ended.error_text


async def test_cancelling_ends_everything_in_flight() -> None:
    """Cancelled is said, and is a kind of its own."""
    async with Rig(answering(b"", pause_s=5)) as rig:
        exchange = Exchange(0, Prepared(0, 0, b"", b""), REQUEST, time.monotonic_ns())
        rig.transport.submit(exchange)
        await asyncio.sleep(0.05)
        rig.transport.cancel_all("over")
        ended = await rig.sink.next()
    assert ended.cancelled
    assert ended.error == ErrorKind.CANCELLED


async def test_a_large_request_is_sent_whole() -> None:
    """More than the socket buffer takes: the rest follows, and `sent_ns` is its end."""
    body = b"x" * 8_000_000
    received: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        received.append(len(await reader.readexactly(len(body))))
        writer.write(OK)
        await writer.drain()

    async with Rig(handler) as rig:
        exchange = Exchange(0, Prepared(0, 0, b"", b""), body, time.monotonic_ns())
        rig.transport.submit(exchange)
        ended = await rig.sink.next()
    assert received == [len(body)]
    assert ended.error == ErrorKind.NONE
    assert ended.sent_ns - ended.start_ns > 20_000_000


async def test_connections_can_be_opened_ahead() -> None:
    """Opened ahead, the first request waits for no connection."""
    async with Rig(answering(OK)) as rig:
        await rig.transport.open(3)
        exchange = await rig.send()
    assert exchange.connect_ns == 0
    assert not exchange.conn_reused


async def test_reuse_never_takes_a_new_connection_each_time() -> None:
    """`--connection-reuse-strategy never`."""
    async with Rig(answering(OK, OK), connection_reuse="never") as rig:
        ids = {(await rig.send()).conn_id for _ in range(3)}
    assert len(ids) == 3
