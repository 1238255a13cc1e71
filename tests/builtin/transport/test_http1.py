"""HTTP/1.1 over real sockets, against a server that says exactly what a test tells it to."""

import asyncio

import pytest
from scripted_server import CHUNKED, OK, Rig, always, answering, exchange, until

from steelyard.domain.bench.records import MISSING, ErrorKind


async def test_an_answer_in_one_read() -> None:
    """Status, body, sizes and the order of the stamps."""
    async with Rig(answering(OK, OK)) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.NONE
    assert (ended.status, ended.pieces) == (200, [b"ok"])
    assert ended.bytes_received == len(OK)
    assert ended.start_ns <= ended.sent_ns <= ended.end_ns
    assert ended.start_ns < ended.first_byte_ns <= ended.end_ns
    assert ended.kernel_stamped
    assert ended.lag_ns >= 0


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
        ended = await rig.send()
    assert ended.error == ErrorKind.NONE
    assert ended.status == 200
    assert b"".join(ended.pieces) in (b"ok", b"hello world")


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
        ended = await rig.send()
    assert ended.pieces == [b"one", b"two"]
    assert ended.stamps[1] - ended.stamps[0] > 15_000_000
    assert ended.before_body_ns == ended.first_byte_ns


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
        ended = await rig.send()
    assert ended.error == ErrorKind.NONE
    assert ended.attempt == 1
    assert not ended.conn_reused
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
        ended = await rig.send()
    assert ended.error == ErrorKind.NONE
    assert ended.pieces == [b"all of it"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ErrorKind.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", ErrorKind.TRUNCATED),
        (CHUNKED[:-8], ErrorKind.TRUNCATED),
        (CHUNKED[:20], ErrorKind.TRUNCATED),
        (b"HTTP/1.1 100 Continue\r\n\r\n", ErrorKind.TRUNCATED),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED[:-8], ErrorKind.TRUNCATED),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ErrorKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ErrorKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 70_000, ErrorKind.TOO_LARGE),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
            ErrorKind.PROTOCOL,
        ),
    ],
)
async def test_broken_answers_are_failures_with_a_kind(answer: bytes, kind: ErrorKind) -> None:
    """Each is told apart, and none raises."""
    async with Rig(answering(answer)) as rig:
        ended = await rig.send()
    assert ended.error == kind
    assert ended.error_text


async def test_nobody_listening_is_a_connect_failure() -> None:
    """The record has no start: nothing was ever sent."""
    async with Rig(answering()) as rig:
        rig.server.close()
        await rig.server.wait_closed()
        ended = await rig.send()
    assert ended.error == ErrorKind.CONNECT
    assert ended.start_ns == MISSING


async def test_cancelling_ends_everything_in_flight() -> None:
    """Cancelled is said, and is a kind of its own."""
    async with Rig(answering(b"", pause_s=60)) as rig:
        await rig.in_flight()
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
        ended = await rig.send(request=body)
    assert received == [len(body)]
    assert ended.error == ErrorKind.NONE
    assert ended.sent_ns - ended.start_ns > 20_000_000


async def test_connections_can_be_opened_ahead() -> None:
    """Opened ahead, the first request waits for no connection."""
    async with Rig(answering(OK)) as rig:
        await rig.transport.open(3)
        ended = await rig.send()
    assert ended.connect_ns == 0
    assert not ended.conn_reused


async def test_reuse_never_takes_a_new_connection_each_time() -> None:
    """`--connection-reuse-strategy never`."""
    async with Rig(always(OK), connection_reuse="never") as rig:
        ids = {(await rig.send()).conn_id for _ in range(3)}
    assert len(ids) == 3


async def test_a_broken_answer_byte_by_byte_is_no_whole_one() -> None:
    """A head that came in pieces is still known to have promised more."""
    cut = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED[:-8]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in cut:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)

    async with Rig(handler) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TRUNCATED


async def test_a_body_over_the_bound_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound, whatever the server sends."""
    monkeypatch.setattr("steelyard.builtin.transport.http1.connection.BODY_BYTES_MAX", 1_000_000)
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000
    async with Rig(answering(endless)) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TOO_LARGE
    assert ended.bytes_received < 1_500_000


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_statuses_without_a_body_end_with_their_head(status: bytes) -> None:
    """Whatever length they name (RFC 9112, 6.3): the connection goes on behind it."""
    bodiless = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    async with Rig(answering(bodiless, OK)) as rig:
        first, second = await rig.send(), await rig.send()
    assert (first.error, first.pieces, first.status) == (ErrorKind.NONE, [], int(status[:3]))
    assert second.conn_reused
    assert second.pieces == [b"ok"]


async def test_an_empty_body_until_the_end_of_the_connection() -> None:
    """Nothing is a body too."""
    async with Rig(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as rig:
        ended = await rig.send()
    assert (ended.error, ended.pieces) == (ErrorKind.NONE, [])


@pytest.mark.parametrize("garbage", [b"garbage", OK, b"HTTP/1.", b"\x00", CHUNKED + OK])
async def test_bytes_behind_an_answer_are_not_its_own_and_end_the_connection(
    garbage: bytes,
) -> None:
    """The answer stands; the next request gets none of what was left over."""
    async with Rig(always(OK + garbage)) as rig:
        first, second = await rig.send(), await rig.send()
    assert [first.error, second.error] == [ErrorKind.NONE, ErrorKind.NONE]
    assert [first.pieces, second.pieces] == [[b"ok"], [b"ok"]]
    assert not second.conn_reused


async def test_bytes_between_requests_end_the_connection() -> None:
    """What nobody asked for is the answer to nothing."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(CHUNKED)
        await reader.read()

    async with Rig(handler) as rig:
        await rig.send()
        await until(lambda: not rig.transport._idle[0])
        ended = await rig.send()
    assert ended.pieces == [b"ok"]
    assert (ended.conn_reused, ended.attempt) == (False, 0)


async def test_an_answer_before_the_whole_request_ends_the_connection() -> None:
    """A refusal in mid-upload is an answer; the rest of the request goes nowhere."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(refusal)
        await writer.drain()
        await asyncio.sleep(1)

    async with Rig(handler) as rig:
        first = await rig.send(request=b"x" * 30_000_000)
        second = await rig.send()
    assert (first.status, first.sent_ns) == (413, MISSING)
    assert not second.conn_reused


async def test_a_request_is_sent_again_once_only() -> None:
    """A server that always hangs up gets two tries of a request, not an endless row."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if len(seen) == 1:
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")

    async with Rig(handler) as rig:
        await rig.send()
        ended = await rig.send()
    assert (ended.error, ended.attempt) == (ErrorKind.RESET, 1)
    assert len(seen) == 2


async def test_an_exchange_cancelled_before_its_connection_began_is_reported() -> None:
    """Nothing that was submitted is ever lost."""
    async with Rig(always(OK)) as rig:
        rig.transport.submit(exchange())
        rig.transport.cancel_all("over")
        ended = await rig.sink.next()
    assert (ended.cancelled, ended.error, ended.start_ns) == (True, ErrorKind.CANCELLED, MISSING)
