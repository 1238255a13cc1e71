"""Which connection a request goes out on, and what becomes of it."""

import contextlib
import socket
import time

import pytest
from scripted_server import CHUNKED, OK, WAIT_S, Rig, always, exchange

from steelyard.builtin.transport.http1 import pool
from steelyard.domain.bench.records import ErrorKind

CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
STICKY = {"connection_reuse": "sticky-user-sessions"}


async def turn(rig, session, *, over=False, url=0):
    """Send one turn of a session; return its exchange."""
    begun = exchange(session, url=url)
    begun.session, begun.session_over = session, over
    rig.transport.submit(begun)
    return await rig.sink.next()


async def test_a_session_keeps_its_connection_to_itself() -> None:
    """Turns of two sessions, taken in turn, use one connection each."""
    async with Rig(always(OK), **STICKY) as rig:
        ids = [(await turn(rig, number % 2)).conn_id for number in range(6)]
    assert ids == ids[:2] * 3
    assert ids[0] != ids[1]


async def test_the_connection_of_a_session_is_closed_when_it_is_over() -> None:
    """The next session gets a new one, even under the same number."""
    async with Rig(always(OK), **STICKY) as rig:
        first = await turn(rig, 7)
        last = await turn(rig, 7, over=True)
        other = await turn(rig, 7)
    assert first.conn_id == last.conn_id != other.conn_id
    assert last.conn_reused
    assert not other.conn_reused


async def test_a_session_can_be_ended_without_a_last_request() -> None:
    """One that failed in the middle leaves no connection behind."""
    async with Rig(always(OK), **STICKY) as rig:
        first = await turn(rig, 7)
        rig.transport.end_session(7)
        rig.transport.end_session(8)
        second = await turn(rig, 7)
    assert first.conn_id != second.conn_id


async def test_a_session_whose_connection_the_server_closed_gets_another() -> None:
    """Between turns or at the end of one."""
    async with Rig(always(CLOSING), **STICKY) as rig:
        first, second = await turn(rig, 7), await turn(rig, 7)
    assert first.conn_id != second.conn_id
    assert (second.error, second.attempt) == (ErrorKind.NONE, 0)


async def test_a_session_that_changes_servers_changes_connections() -> None:
    """A connection is never used for another server than its own."""
    async with (
        Rig(always(OK)) as first,
        Rig(always(CHUNKED)) as second,
        Rig(always(OK), **STICKY, urls=(first.url, second.url)) as both,
    ):
        bodies = [b"".join((await turn(both, 7, url=url)).pieces) for url in (0, 1, 0)]
    assert bodies == [b"ok", b"hello world", b"ok"]


async def test_connections_opened_ahead_serve_sessions_too() -> None:
    """The first turn of a session waits for no connection."""
    async with Rig(always(OK), **STICKY) as rig:
        await rig.transport.open(2)
        first, second = await turn(rig, 1), await turn(rig, 1)
    assert first.connect_ns == 0
    assert first.conn_id == second.conn_id


async def test_several_servers_have_pools_of_their_own() -> None:
    """Each request reaches the server that was chosen for it."""
    async with (
        Rig(always(OK)) as first,
        Rig(always(CHUNKED)) as second,
        Rig(always(OK), urls=(first.url, second.url)) as both,
    ):
        await both.transport.open(2)
        bodies = []
        for number in range(4):
            both.transport.submit(exchange(number, url=number % 2))
            bodies.append(b"".join((await both.sink.next()).pieces))
    assert bodies == [b"ok", b"hello world"] * 2
    assert first.connections == second.connections == 1


@pytest.mark.parametrize("limits", [{"connect_timeout_s": 0.1}, {"connect_timeout_s": 0}])
async def test_a_server_that_takes_no_connection_does_not_hold_the_load_up(
    monkeypatch, limits
) -> None:
    """Opening ahead gives up; what did connect is kept, and requests wait for themselves."""
    monkeypatch.setattr(pool, "AHEAD_S", 0.2)
    with full_queue() as silent:
        async with Rig(always(OK)) as live:
            urls = (live.url, silent)
            async with Rig(always(OK), urls=urls, **limits) as rig:
                begun = time.monotonic()
                while not rig.transport._idle[0]:  # a slow machine may need longer than the bound
                    await rig.transport.open(4)
                    assert time.monotonic() - begun < WAIT_S
                assert not rig.transport._idle[1]
                assert (await turn(rig, 0)).connect_ns == 0


@contextlib.contextmanager
def full_queue():
    """Yield the URL of a server whose system answers no more connections."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"
