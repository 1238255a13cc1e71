"""How much of an answer is taken, and what an old server means by keeping quiet."""

import asyncio

import pytest
import trustme
from scripted_server import OK, Rig, always, server_tls

from steelyard.domain.bench.records import ErrorKind

BOUND = 1_000_000
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
FILLER = b"x" * 65_536


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with `head` and a body that never ends."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head)
    chunked = b"chunked" in head
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(FILLER), FILLER) if chunked else FILLER)
        await writer.drain()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"X-Close: 1"]
)
async def test_no_framing_takes_more_than_the_bound(
    monkeypatch: pytest.MonkeyPatch, framing: bytes, tls: bool
) -> None:
    """A body that never ends is cut off where memory would begin to grow; the next one is whole."""
    monkeypatch.setattr("steelyard.builtin.transport.http1.connection.BODY_BYTES_MAX", BOUND)
    head = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    context = server_tls(trustme.CA(), "localhost") if tls else None
    async with Rig(lambda r, w: endless(r, w, head), tls=context, insecure=True) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TOO_LARGE
    assert str(BOUND) in ended.error_text
    assert sum(map(len, ended.pieces)) < 2 * BOUND


async def test_endless_interim_answers_are_bounded() -> None:
    """1xx after 1xx is a head that never ends."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100)
            await writer.drain()

    async with Rig(handler) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TOO_LARGE


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok", False),
        (CHUNKED_OK.replace(b"\r\n", b"\r\nConnection: close, x\r\n", 1), False),
        (CHUNKED_OK, True),
        (OK, True),
    ],
)  # fmt: skip
async def test_a_connection_is_kept_when_both_sides_mean_to(head: bytes, kept: bool) -> None:
    """HTTP/1.0 closes unless it says otherwise; words are in any case (RFC 9112, 9.3)."""
    async with Rig(always(head)) as rig:
        first, second = await rig.send(), await rig.send()
    assert (first.pieces, second.pieces) == ([b"ok"], [b"ok"])
    assert second.conn_reused is kept


async def test_trailers_end_a_chunked_body() -> None:
    """They belong to the answer; the connection goes on behind them."""
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nok\r\n"
        b"0\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n"
    )
    async with Rig(always(answer)) as rig:
        first, second = await rig.send(), await rig.send()
    assert (first.pieces, second.pieces) == ([b"ok"], [b"ok"])
    assert second.conn_reused
