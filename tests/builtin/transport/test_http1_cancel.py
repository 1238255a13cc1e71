"""One exchange cancelled among others, and who is told of sends and reads."""

import asyncio

import trustme
from scripted_server import OK, Rig, always, exchange, server_tls, until

from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.runtime.exchange import Exchange

LARGE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000


def note(told: list[tuple[str, int]], kind: str):
    """Return a callback that notes what it was told of, and how many pieces there were."""

    def callback(told_of: Exchange) -> None:
        told.append((kind, len(told_of.pieces)))

    return callback


async def test_one_is_cancelled_and_the_others_are_not() -> None:
    """Its connection is closed, as the server sees; no other is."""
    came: list[bytes] = []
    gone: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        gone.append(await reader.read())

    async with Rig(handler) as rig:
        one, other = await rig.in_flight(), await rig.in_flight()
        await until(lambda: len(came) == 2)
        rig.transport.cancel(one, "enough of it")
        ended = await rig.sink.next()
        await until(lambda: gone)
        await asyncio.sleep(0.03)
        assert ended is one
        assert (ended.cancelled, ended.error) == (True, ErrorKind.CANCELLED)
        assert ended.error_text == "enough of it"
        assert gone == [b""]
        assert rig.sink.queue.empty()
        assert other.end_ns == MISSING


async def test_its_connection_carries_nothing_more() -> None:
    """The late answer to a cancelled request is never taken for that to another."""
    async with Rig(always(OK)) as rig:
        first = await rig.send()
        begun = exchange()
        rig.transport.submit(begun)
        assert begun.conn_reused
        rig.transport.cancel(begun, "x")
        assert (await rig.sink.next()) is begun
        after = await rig.send()
    assert after.error == ErrorKind.NONE
    assert after.conn_id != first.conn_id


async def test_what_is_over_stays_as_it_ended() -> None:
    """Also when its connection carries the next request already."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()  # the next request, and never an answer to it

    async with Rig(handler) as rig:
        done = await rig.send()
        following = await rig.in_flight()
        assert following.conn_id == done.conn_id
        rig.transport.cancel(done, "too late")
        assert done.error == ErrorKind.NONE
        assert following.error == ErrorKind.NONE
        assert rig.sink.queue.empty()


async def test_a_request_without_a_connection_can_be_cancelled(monkeypatch) -> None:
    """It was never sent; the connection that came about for it is not kept."""
    async with Rig(always(OK)) as rig:
        never = asyncio.Event()

        async def no_answer(*_: object) -> None:
            await never.wait()

        monkeypatch.setattr(rig.transport._dialer, "_connect", no_answer)
        begun, other = exchange(), exchange(1)
        rig.transport.submit(begun)
        rig.transport.submit(other)
        await asyncio.sleep(0.02)
        rig.transport.cancel(begun, "not wanted any more")
        ended = await rig.sink.next()
        assert ended is begun
        assert ended.cancelled
        assert ended.error_text == "not wanted any more"
        assert ended.start_ns == MISSING
        await asyncio.sleep(0.02)
        assert rig.sink.queue.empty()


async def test_the_end_of_a_send_is_told_once_all_has_left() -> None:
    """A request that the socket buffer can't hold is sent when its rest is."""
    read = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read.wait()
        await reader.readexactly(len(LARGE))
        writer.write(OK)

    async with Rig(handler) as rig:
        told: list[tuple[str, int]] = []
        begun = exchange(0, LARGE)
        begun.when_sent = note(told, "sent")
        rig.transport.submit(begun)
        await until(lambda: begun.start_ns != MISSING)
        await asyncio.sleep(0.05)
        assert told == []
        read.set()
        ended = await rig.sink.next()
    assert told == [("sent", 0)]
    assert ended.error == ErrorKind.NONE


async def test_a_request_can_be_given_up_right_after_its_send() -> None:
    """From within the callback; the server gets every byte, over TLS too."""
    authority = trustme.CA()
    for tls in (None, server_tls(authority, "localhost")):
        received: list[bytes] = []

        async def handler(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            received: list[bytes] = received,
        ) -> None:
            received.append(await reader.read(100_000))
            received.append(await reader.read())

        async with Rig(handler, tls=tls, insecure=True) as rig:
            begun = exchange()
            begun.when_sent = lambda sent, rig=rig: rig.transport.cancel(sent, "at once")
            rig.transport.submit(begun)
            ended = await rig.sink.next()
            await until(lambda received=received: len(received) == 2)
            assert rig.sink.queue.empty()
        assert ended.cancelled
        assert received == [begun.request, b""]


async def test_reads_are_told_while_an_answer_is_incomplete() -> None:
    """Never the last one: its end says it all. Who has heard enough is told no more."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.02)
            writer.write(b"x")

    async with Rig(handler) as rig:
        told: list[tuple[str, int]] = []
        begun = exchange()
        begun.when_read = note(told, "read")
        rig.transport.submit(begun)
        await rig.sink.next()
    assert told == [("read", pieces) for pieces in range(4)]
