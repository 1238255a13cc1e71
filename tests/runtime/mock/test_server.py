"""The server inside a loop: life cycle, pipelining, large and slow requests."""

import asyncio
import json
from typing import Any

import pytest
import uvloop

from steelyard.kernel.errors import UsageError
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.server import MockServer


def request(**fields: Any) -> bytes:
    body = json.dumps({"model": "m", "prompt": "a b", "max_tokens": 2, **fields}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def read_response(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def test_start_and_stop_leave_nothing_behind() -> None:
    """A port is opened, counted requests are served, and after the stop nobody listens."""
    server = MockServer(MockOptions())
    port = await server.start()
    assert server.url == f"http://127.0.0.1:{port}"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request())
    assert (await read_response(reader))[0] == 200
    assert server.requests_seen == 1
    await server.stop()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_is_a_usage_error() -> None:
    """The message names address and port."""
    server = MockServer(MockOptions())
    port = await server.start()
    with pytest.raises(UsageError, match=str(port)):
        await MockServer(MockOptions(port=port)).start()
    await server.stop()


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Three requests in one write, with a wait each, come back one after the other."""
    server = MockServer(MockOptions(ttft_ms=5))
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(b"".join(request(max_tokens=n) for n in (3, 1, 2)))
    answers = [await read_response(reader) for _ in range(3)]
    assert [answer["usage"]["completion_tokens"] for _status, answer in answers] == [3, 1, 2]
    writer.close()
    await server.stop()


async def test_a_request_may_come_a_byte_at_a_time() -> None:
    """However the client splits its bytes, there is one request."""
    server = MockServer(MockOptions())
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    for byte in request():
        writer.write(bytes((byte,)))
        await asyncio.sleep(0.0005)
    assert (await read_response(reader))[0] == 200
    assert server.requests_seen == 1
    writer.close()
    await server.stop()


async def test_a_large_prompt_is_read_whole() -> None:
    """Three megabytes of words are counted."""
    server = MockServer(MockOptions())
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(request(prompt="word " * 600_000))
    status, answer = await read_response(reader)
    assert status == 200
    assert answer["usage"]["prompt_tokens"] == 600_000
    writer.close()
    await server.stop()


async def test_a_reader_that_stops_does_not_lose_bytes() -> None:
    """A long answer to a client that reads late arrives complete."""
    server = MockServer(MockOptions(tokens=60_000))
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start(), limit=1 << 16)
    body = json.dumps({"prompt": "x", "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.sleep(0.3)
    received = bytearray()
    while not received.endswith(b"0\r\n\r\n"):
        received += await reader.read(1 << 20)
    assert received.count(b"data: ") >= 60_000
    writer.close()
    await server.stop()


async def test_prefill_costs_time_per_prompt_token() -> None:
    """Fifty words at 2 ms make the first answer wait 100 ms."""
    server = MockServer(MockOptions(prefill_ms_per_token=2))
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    loop = asyncio.get_running_loop()
    begun = loop.time()
    writer.write(request(prompt="word " * 50))
    await read_response(reader)
    assert loop.time() - begun >= 0.1
    writer.close()
    await server.stop()


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({}, {"max_tokens": None}, (128, "stop")),
        ({"tokens": 5}, {"max_tokens": None}, (5, "stop")),
        ({"tokens": 5}, {"max_tokens": 9}, (5, "stop")),
        ({"tokens": 5}, {"max_tokens": 3}, (3, "length")),
        ({"tokens": 5}, {"max_tokens": 9, "ignore_eos": True}, (9, "length")),
        ({"tokens": 5}, {"max_tokens": 9, "min_tokens": 7}, (7, "stop")),
        ({}, {"max_tokens": 3, "max_completion_tokens": 4}, (4, "length")),
        ({}, {"prompt": [1, 2, 3]}, (2, "length")),
    ],
)
async def test_limits_decide_the_length(options: dict, fields: dict, expected: tuple) -> None:
    """The server's own length, cut by the request's maximum, raised by its minimum."""
    server = MockServer(MockOptions(**options))
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(request(**fields))
    _status, answer = await read_response(reader)
    got = answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]
    assert got == expected
    writer.close()
    await server.stop()


def test_uvloop_can_carry_it() -> None:
    """The same server works in uvloop, whose own timers know only milliseconds."""

    async def ask() -> int:
        server = MockServer(MockOptions(ttft_ms=1))
        reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
        writer.write(request())
        status, _answer = await read_response(reader)
        writer.close()
        await server.stop()
        return status

    assert uvloop.run(ask()) == 200
