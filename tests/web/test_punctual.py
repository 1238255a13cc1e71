"""Connections on which no request comes, or half of one."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from steelyard.web import punctual
from steelyard.web.punctual import PunctualProtocol

pytestmark = pytest.mark.network
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


async def app(scope, receive, send):
    body = await receive()
    while body.get("more_body"):
        body = await receive()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def connect(monkeypatch):
    monkeypatch.setattr(punctual, "HEAD_S", 0.1)
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=3600)
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: PunctualProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    server.close()


@pytest.mark.parametrize("half", [b"", b"GET / HTTP/1.1\r\nHost"])
async def test_a_head_that_does_not_come_is_not_waited_for(connect, half):
    reader, writer = await connect()
    writer.write(half)
    assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_nor_is_a_second_one(connect):
    reader, writer = await connect()
    writer.write(WHOLE + b"ab")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert b"200 OK" in answer
    writer.write(b"G")
    assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_a_request_whose_head_came_may_take_its_time(connect):
    reader, writer = await connect()
    writer.write(WHOLE)
    other, _ = await connect()
    assert await asyncio.wait_for(other.read(), 20) == b""  # made later, and over by now
    writer.write(b"ab")
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
