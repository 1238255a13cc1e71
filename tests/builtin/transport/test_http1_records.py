"""Answers that are whole as HTTP and no success all the same."""

import gzip

import pytest
from scripted_server import Rig, always, recorded

from steelyard.domain.bench.records import ErrorKind

EVENTS = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\ndata: [DONE]\n\n'


def answer(status=b"200 OK", fields=b"", body=b""):
    """Return a whole response."""
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + fields + length + body


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (
            answer(b"307 Temporary Redirect", b"Location: https://other.test/v1\r\n"),
            ErrorKind.HTTP_STATUS,
            "a redirect to https://other.test/v1, which is not followed",
        ),
        (answer(b"304 Not Modified"), ErrorKind.HTTP_STATUS, "HTTP 304"),
        (answer(b"503 Busy", body=b"try later"), ErrorKind.HTTP_STATUS, "HTTP 503: try later"),
        (answer(b"204 No Content"), ErrorKind.EMPTY, ""),
        (answer(), ErrorKind.EMPTY, ""),
        (
            answer(fields=b"Content-Encoding: gzip\r\n", body=gzip.compress(EVENTS)),
            ErrorKind.MALFORMED,
            "encoded (gzip), for which no request asked",
        ),
        (answer(body=b'{"error": {"message": "no memory"}}'), ErrorKind.SERVER_ERROR, "no memory"),
        (answer(body=b'{"choices": [{"mess'), ErrorKind.MALFORMED, "can't be read"),
    ],
)
async def test_failures_inside_whole_answers_have_kinds_and_words(
    streaming, response, kind, words
) -> None:
    """The connection is none the worse for them."""
    async with Rig(always(response)) as rig:
        first = await rig.send()
        row, _ = recorded(first, streaming=streaming)
        second = await rig.send()
    assert ErrorKind(row["error_kind"]) == kind
    assert words in first.error_text
    assert row["status"] == int(response[9:12])
    assert row["end_ns"] > row["start_ns"]
    assert second.conn_reused


async def test_a_stream_that_broke_keeps_what_came() -> None:
    """The tokens that were seen are in the record of the failure."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + EVENTS

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)

    async with Rig(handler) as rig:
        row, _ = recorded(await rig.send(), streaming=True)
    assert ErrorKind(row["error_kind"]) == ErrorKind.TRUNCATED
    assert row["chunks"] == 1
    assert row["first_token_ns"] > row["start_ns"]
