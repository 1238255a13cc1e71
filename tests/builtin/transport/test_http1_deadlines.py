"""Each part of a request has a bound of its own, kept by the sweep."""

import asyncio
import time

import pytest
from scripted_server import OK, Rig, always, answering, exchange, until

from steelyard.builtin.transport.http1.deadlines import Deadlines
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind

S = 1_000_000_000
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


@pytest.mark.parametrize(
    ("answer", "limit", "kind"),
    [
        (b"", "request_timeout_s", ErrorKind.TIMEOUT_REQUEST),
        (b"", "first_byte_timeout_s", ErrorKind.TIMEOUT_FIRST_BYTE),
        (HALF, "idle_timeout_s", ErrorKind.TIMEOUT_IDLE),
        (HALF, "request_timeout_s", ErrorKind.TIMEOUT_REQUEST),
    ],
)
async def test_a_part_over_its_time_is_ended_by_the_sweep(answer, limit, kind) -> None:
    """A server that falls silent costs the request, not the run."""
    async with Rig(answering(answer, pause_s=90), **{limit: 20}) as rig:
        begun = await rig.in_flight()
        await until(lambda: not answer or begun.first_byte_ns != MISSING)
        rig.transport.sweep(begun.submitted_ns + 19 * S)
        assert rig.sink.queue.empty()
        rig.transport.sweep(time.monotonic_ns() + 20 * S)
        ended = await rig.sink.next()
        begun_again = await rig.in_flight()
    assert ended.error == kind
    assert "20 s" in ended.error_text
    assert not ended.cancelled
    assert not begun_again.conn_reused


async def test_an_answer_that_goes_on_is_not_idle() -> None:
    """Each read starts the wait anew."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.03)
            writer.write(b"x")

    async with Rig(handler, idle_timeout_s=0.15) as rig:
        rig.transport.submit(exchange())
        while rig.sink.queue.empty():
            await asyncio.sleep(0.01)
            for connection in tuple(rig.transport._busy.values()):
                rig.transport.sweep(connection.stamp_ns + S // 10)
        ended = await rig.sink.next()
    assert ended.error == ErrorKind.NONE
    assert len(ended.pieces) == 8


async def test_a_connection_that_takes_too_long_is_a_kind_of_its_own(monkeypatch) -> None:
    """Nothing was sent; the record says what was waited for."""
    async with Rig(always(OK), connect_timeout_s=0.05) as rig:
        never = asyncio.Event()

        async def no_answer(*_: object) -> None:
            await never.wait()

        monkeypatch.setattr(rig.transport._dialer, "_connect", no_answer)
        rig.transport.submit(exchange())
        await asyncio.sleep(0.08)
        rig.transport.sweep(time.monotonic_ns())
        ended = await rig.sink.next()
    assert ended.error == ErrorKind.TIMEOUT_CONNECT
    assert "0.05 s" in ended.error_text
    assert not ended.cancelled, "a failure, as every other timeout"


async def test_zero_sets_no_bound() -> None:
    """The sweep then ends nothing, however late it is."""
    plan = {"request_timeout_s": 0, "connect_timeout_s": 0}
    async with Rig(answering(b"", pause_s=90), **plan) as rig:
        await rig.in_flight()
        rig.transport.sweep(time.monotonic_ns() + 10**15)
        assert rig.sink.queue.empty()


def test_the_shortest_bound_is_known_ahead() -> None:
    """A sweep may rest that long after it looked."""
    plan = EndpointPlan(connect_timeout_s=10, request_timeout_s=30, idle_timeout_s=2.5)
    assert Deadlines(plan).least_ns == 2_500_000_000
