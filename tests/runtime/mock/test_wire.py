"""Requests are read from any bytes, and refused when they are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.runtime.mock.wire import BODY_MAX, BadRequestError, read_request, response

REQUEST = (
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id:  Ab-1 \r\n"
    b"CONTENT-LENGTH: 5\r\n\r\nhello"
)
CHUNKED = (
    b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
)


@pytest.mark.parametrize("data", [REQUEST, CHUNKED])
def test_a_request_is_complete_at_its_last_byte_and_not_before(data: bytes) -> None:
    """Every proper prefix is incomplete; what follows is left for the next request."""
    for cut in range(len(data)):
        request = read_request(data[:cut])
        assert request is None or request.body is None
    request = read_request(data + b"GET ")
    assert request is not None
    assert request.body == b"hello"
    assert request.end == len(data)
    assert request.line == b"POST /v1/completions HTTP/1.1"


def test_headers_are_read_whatever_their_case() -> None:
    """The id keeps its own case, its name and white space don't matter."""
    request = read_request(REQUEST)
    assert request is not None
    assert request.request_id == b"Ab-1"
    assert not request.close
    closing = read_request(b"GET / HTTP/1.1\r\ncONNECTION: Close\r\n\r\n")
    assert closing is not None
    assert closing.close
    assert closing.body == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"G" + b"a" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    """With the status that says why."""
    with pytest.raises(BadRequestError) as caught:
        read_request(data)
    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Anything is a request, the beginning of one, or refused."""
    try:
        request = read_request(data)
    except BadRequestError:
        return
    assert request is None or request.end <= len(data) or request.body is None


def test_a_response_states_its_length() -> None:
    """Status, length and body, in HTTP/1.1's form."""
    data = response(404, b"{}", close=True)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Content-Length: 2" in head
    assert b"Connection: close" in head
    assert body == b"{}"
