"""What the first bytes of a response say where the parser does not tell."""

import pytest

from steelyard.domain.bench.protocol.http_head import (
    content_coding,
    ends_with_connection,
    final_head,
    redirect_target,
)

OK = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (OK + b"\r\n", True),
        (OK + b"Server: x\r\n\r\nContent-Length: 3\r\n", True),
        (CONTINUE + OK + b"\r\nbody", True),
        (HINTS + OK + b"\r\nbody", True),
        (b"\r\n" + OK + b"\r\n", True),
        (OK + b"Content-Length: 3\r\n\r\n", False),
        (OK + b"CONTENT-length:3\r\n\r\n", False),
        (CONTINUE + OK + b"Transfer-Encoding: chunked\r\n\r\n", False),
        (OK + b"Server: x\r\n", False),
        (CONTINUE, False),
        (b"\r\n\r\n", False),
        (b"H", False),
        (b"", False),
    ],
)
def test_only_a_whole_head_without_a_length_ends_with_its_connection(data, ends):
    """What is not known to end there is a broken answer, not a whole one."""
    assert ends_with_connection(data) is ends


def test_interim_heads_are_not_the_answer():
    """Any number of them."""
    assert final_head(CONTINUE + HINTS + OK + b"A: b\r\n\r\nbody") == OK + b"A: b"


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        (b"", ""),
        (b"Content-Encoding: GZIP\r\n", "gzip"),
        (b"content-encoding:gzip, br \r\n", "gzip, br"),
        (b"Content-Encoding: identity\r\n", ""),
        (b"X-Content-Encoding: gzip\r\n", ""),
    ],
)
def test_the_coding_of_a_body_is_named(fields, coding):
    """Identity is none."""
    assert content_coding(OK + fields + b"\r\n") == coding


def test_a_redirect_says_where_to():
    """A relative one as it is."""
    assert redirect_target(b"HTTP/1.1 307 X\r\nLocation: /v2\r\n\r\n") == "/v2"
    assert redirect_target(OK + b"\r\n") == ""
