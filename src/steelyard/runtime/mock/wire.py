"""HTTP/1.1 requests read from bytes, and answers written to them (RFC 9112), by hand for speed."""

import json
from http import HTTPStatus

HEAD_MAX = 65_536
BODY_MAX = 64 * 1024 * 1024


class BadRequestError(Exception):
    """The bytes are no request that can be answered; the connection must end."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status to answer with."""
        self.status = status
        super().__init__(message)


class Request:
    """One complete request, or the head of one whose body is still arriving.

    Attributes:
        line: the request line without its end, such as `POST /v1/completions HTTP/1.1`.
        request_id: value of `X-Request-ID`, empty without one.
        close: the client wants the connection closed after the answer.
        body: None while it is incomplete.
        end: length of the whole request, 0 while unknown.
        expects_continue: the client waits for `100 Continue` before it sends the body.
    """

    __slots__ = ("body", "close", "end", "expects_continue", "line", "request_id")

    def __init__(self, line: bytes) -> None:
        """Begin with the request line."""
        self.line = line
        self.request_id = b""
        self.close = False
        self.body: bytes | None = None
        self.end = 0
        self.expects_continue = False


def read_request(data: bytes) -> Request | None:
    """Return the request at the start of `data`; None while its head is incomplete.

    Raises:
        BadRequestError: too large, or not HTTP/1.1.
    """
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        if len(data) > HEAD_MAX:
            raise BadRequestError(431, "The request's head is larger than 64 KiB.")
        if data[:1].strip(b"\r\n") and not data[:1].isalpha():
            raise BadRequestError(400, "This is not an HTTP request.")
        return None
    line_end = data.find(b"\r\n")
    request = Request(data[:line_end])
    if not request.line.endswith(b" HTTP/1.1"):
        _refuse_version(request.line)
    head = data[line_end : head_end + 2]
    low = head.lower()
    request.request_id = _value(head, low, b"\r\nx-request-id:")[:256]
    if b"\r\nconnection:" in low:
        request.close = b"close" in _value(low, low, b"\r\nconnection:")
    if b"\r\nexpect:" in low:
        request.expects_continue = True
    body_at = head_end + 4
    if b"\r\ntransfer-encoding:" in low:
        _read_chunked(request, data, body_at)
    else:
        _read_sized(request, data, body_at, _value(low, low, b"\r\ncontent-length:"))
    return request


def _refuse_version(line: bytes) -> None:
    if line.count(b" ") == 2 and b" HTTP/" in line:
        raise BadRequestError(505, "This server speaks HTTP/1.1 only.")
    raise BadRequestError(400, "The request line is not 'METHOD PATH HTTP/1.1'.")


def _value(head: bytes, low: bytes, name: bytes) -> bytes:
    at = low.find(name)
    if at < 0:
        return b""
    at += len(name)
    return head[at : head.find(b"\r\n", at)].strip()


def _read_sized(request: Request, data: bytes, body_at: int, length: bytes) -> None:
    if length and not length.isdigit():
        raise BadRequestError(400, "Content-Length is not a number.")
    size = int(length) if length else 0
    if size > BODY_MAX:
        raise BadRequestError(413, "The body is larger than 64 MiB.")
    request.end = body_at + size
    if len(data) >= request.end:
        request.body = data[body_at : request.end]


def _read_chunked(request: Request, data: bytes, at: int) -> None:
    parts = []
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return
        try:
            size = int(data[at:line_end].split(b";")[0], 16)
        except ValueError:
            raise BadRequestError(400, "A chunk's size is not a hexadecimal number.") from None
        if not 0 <= size <= BODY_MAX:
            raise BadRequestError(413, "The body is larger than 64 MiB.")
        at = line_end + 2
        if len(data) < at + size + 2:
            return
        if size == 0:
            break
        parts.append(data[at : at + size])
        at += size + 2
    while (line_end := data.find(b"\r\n", at)) > at:
        at = line_end + 2
    if line_end < 0:
        return
    request.body = b"".join(parts)
    request.end = line_end + 2


def response(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    *,
    close: bool = False,
    extra: str = "",
) -> bytes:
    """Return a complete response; `extra` holds further header lines, each with its CRLF."""
    reason = HTTPStatus(status).phrase if status in _KNOWN else "Status"
    connection = "Connection: close\r\n" if close else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{extra}{connection}\r\n"
    )
    return head.encode() + body


def error_body(message: str, kind: str, code: str | None = None) -> bytes:
    """Return an error in the shape that OpenAI's API gives it."""
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    ).encode()


_KNOWN = frozenset(int(status) for status in HTTPStatus)
