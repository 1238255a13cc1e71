"""Answers wrong by a few bytes, and many at a time: the client neither falls nor mixes them up."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import CHUNKED, OK, Rig, exchange, recorded, server_tls

from steelyard.domain.bench.records import ErrorKind

STREAM = (
    b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n: still there\n\n'
    b'data: {"choices":[{"delta":{"content":" two"}}]}\r\n\r\ndata: [DONE]\n\n'
)
GOOD = [
    OK,
    CHUNKED,
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED,
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b"
    % (len(STREAM), STREAM),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-T: 1\r\n\r\n"
    % (len(STREAM), STREAM),
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nlate",
]


@st.composite
def damaged(draw):
    """Return an answer with a few bytes changed, lost, doubled or put in."""
    wire = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(wire) - 1)))
        length = draw(st.integers(1, 8))
        match draw(st.sampled_from(["flip", "lose", "double", "insert"])):
            case "flip" if wire:
                wire[at] = draw(st.integers(0, 255))
            case "lose":
                del wire[at : at + length]
            case "double":
                wire[at:at] = wire[at : at + length]
            case _:
                wire[at:at] = draw(st.sampled_from([b"\r\n", b"\r", b"\n", b"0", b"\x00", b": "]))
    return bytes(wire)


@dataclass
class Server:
    """Says what it is told, in pieces, to one request; to all others `OK`."""

    told: bytes | None = None
    pieces: list[int] = field(default_factory=list)

    async def __call__(self, reader, writer):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            told, self.told = self.told, None
            if told is None:
                writer.write(OK)
                await writer.drain()
                continue
            ends = sorted({min(end, len(told)) for end in self.pieces} | {len(told)})
            for start, end in zip([0, *ends], ends, strict=False):
                writer.write(told[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            return  # and hang up, so that an answer that promises more is over too


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def bench(request, runner):
    server = Server()
    context = server_tls(trustme.CA(), "localhost") if request.param else None
    rig = Rig(server, tls=context, insecure=True)
    runner.run(rig.__aenter__())
    yield server, rig, runner
    runner.run(rig.__aexit__())


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(wire=damaged(), pieces=st.lists(st.integers(1, 200), max_size=6))
def test_a_damaged_answer_is_one_record_and_harms_no_other(bench, wire, pieces):
    """It ends, in one of the ways there are; the next request gets its own answer."""
    server, rig, runner = bench

    async def both():
        server.told, server.pieces = wire, pieces
        broken = await rig.send()
        row, _ = recorded(broken, streaming=True)
        return broken, row, await rig.send()

    broken, row, after = runner.run(both())
    kind = ErrorKind(row["error_kind"])
    assert kind not in {ErrorKind.INTERNAL, ErrorKind.LOST, ErrorKind.CONNECT, ErrorKind.CANCELLED}
    assert bool(broken.error_text) == (kind != ErrorKind.NONE)
    assert (after.error, after.pieces) == (ErrorKind.NONE, [b"ok"])
    assert rig.transport._busy == {}
    assert rig.sink.queue.empty()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_many_answers_at_once_each_reach_their_own_request(runner, data):
    """Connections are kept, closed and dropped at random; no answer is another request's."""
    count = data.draw(st.integers(2, 24))
    ways = data.draw(
        st.lists(
            st.sampled_from(["keep", "close", "drop", "idle-close"]), min_size=count, max_size=count
        )
    )
    cut = data.draw(st.integers(1, 60))
    reuse = data.draw(st.sampled_from(["pooled", "never", "sticky-user-sessions"]))

    async def handler(reader, writer):
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            index = int(request.rpartition(b"r-")[2].split(b"-")[0])
            way = ways[index]
            body = b"answer %d" % index
            fields = b"Connection: close\r\n" if way == "close" else b""
            wire = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)
            if way == "drop":
                writer.write(wire[:-1])
                return
            writer.write(wire[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(wire[cut:])
            if way in {"close", "idle-close"}:
                return

    async def load():
        async with Rig(handler, connection_reuse=reuse) as rig:
            ended = {}
            for first in (0, 1):  # two waves: the second finds what the first left of connections
                for index in range(first, count, 2):
                    request = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: r-%d-0\r\n\r\n" % index
                    rig.transport.submit(exchange(index, request))
                for _ in range(first, count, 2):
                    one = await rig.sink.next()
                    ended[one.index] = one
            with contextlib.suppress(asyncio.QueueEmpty):
                pytest.fail(f"{rig.sink.queue.get_nowait().index} ended twice")
            return ended

    ended = runner.run(load())
    assert sorted(ended) == list(range(count))
    for index, one in ended.items():
        if ways[index] == "drop":
            assert one.error == ErrorKind.TRUNCATED
        else:
            assert (one.error, b"".join(one.pieces)) == (ErrorKind.NONE, b"answer %d" % index)
