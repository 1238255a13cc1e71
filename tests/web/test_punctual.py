"""Connections on which no request comes, or half of one."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from steelyard.web.punctual import HEAD_S, PunctualProtocol

pytestmark = pytest.mark.network
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
LIMIT_S = 20.0


async def app(scope, receive, send):
    body = await receive() if scope["path"] == "/" else {}
    while body.get("more_body"):
        body = await receive()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


class Loop:
    """The running loop, whose timers end when a test says that time has passed."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._timers = []

    def __getattr__(self, name):
        return getattr(self._loop, name)

    def call_later(self, delay_s, callback, *args):
        timer = asyncio.TimerHandle(delay_s, callback, args, self._loop)
        self._timers.append(timer)
        return timer

    def pass_s(self, passed_s):
        """End the timers that were to end by then, and were not called off."""
        for timer in self._timers:
            if timer.when() <= passed_s and not timer.cancelled():
                timer._run()


class Client:
    """One connection, and what the service has read of it."""

    def __init__(self, reader, writer, heard):
        self.reader, self._writer, self._heard = reader, writer, heard

    async def says(self, data):
        """Return when the service has read it all."""
        self._writer.write(data)
        missing = len(data)
        while missing:
            missing -= len(await asyncio.wait_for(self._heard.get(), LIMIT_S))

    async def hears(self, answer):
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        assert answer in head

    async def is_let_go(self):
        return await asyncio.wait_for(self.reader.read(), LIMIT_S) == b""


class Heard(PunctualProtocol):
    """Tells what it has read, when it has seen to it."""

    def __init__(self, *args, made, **kwargs):
        super().__init__(*args, **kwargs)
        self.made, self.heard = made, asyncio.Queue()

    def connection_made(self, transport):
        super().connection_made(transport)
        self.made.put_nowait(self.heard)

    def data_received(self, data):
        super().data_received(data)
        self.heard.put_nowait(data)


@pytest.fixture
async def loop():
    return Loop()


@pytest.fixture
async def connect(loop):
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=3600)
    config.load()
    made = asyncio.Queue()
    server = await loop.create_server(
        lambda: Heard(config, ServerState(), {}, loop, made=made), "127.0.0.1", 0
    )
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return Client(reader, writer, await asyncio.wait_for(made.get(), LIMIT_S))

    yield connect
    for writer in writers:
        writer.close()
    server.close()


@pytest.mark.parametrize("half", [b"", b"GET / HTTP/1.1\r\nHost"])
async def test_a_head_that_does_not_come_is_not_waited_for(loop, connect, half):
    client = await connect()
    await client.says(half)
    loop.pass_s(HEAD_S)
    assert await client.is_let_go()


async def test_nor_is_a_second_one(loop, connect):
    client = await connect()
    await client.says(WHOLE + b"ab")
    await client.hears(b"200 OK")
    await client.says(b"G")
    loop.pass_s(HEAD_S)
    assert await client.is_let_go()


async def test_a_request_whose_head_came_may_take_its_time(loop, connect):
    client = await connect()
    await client.says(WHOLE)
    loop.pass_s(HEAD_S)
    await client.says(b"ab")
    await client.hears(b"200 OK")


async def test_nor_is_the_rest_of_a_body_waited_for_that_was_answered_without_it(loop, connect):
    """As a stranger's is, who would hold the connection with one byte of it."""
    client = await connect()
    await client.says(WHOLE.replace(b"/ ", b"/unread ", 1))
    await client.hears(b"200 OK")
    await client.says(b"a")
    loop.pass_s(HEAD_S)
    assert await client.is_let_go()


async def test_the_rest_of_a_body_that_comes_leaves_the_connection_to_the_next_request(
    loop, connect
):
    client = await connect()
    await client.says(WHOLE.replace(b"/ ", b"/unread ", 1))
    await client.hears(b"200 OK")
    await client.says(b"a")
    await client.says(b"b" + WHOLE)
    loop.pass_s(HEAD_S)
    await client.says(b"ab")
    await client.hears(b"200 OK")
