"""What the first bytes of an HTTP/1.1 response say, where the parser does not tell.

Read only when something is odd: an answer that ends with its connection, a body that is no text.
"""

import re

_END = b"\r\n\r\n"
_INTERIM = re.compile(rb"HTTP/\d\.\d 1\d\d")
_LOCATION = re.compile(rb"\r\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CODING = re.compile(rb"\r\ncontent-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE)


def final_head(data: bytes) -> bytes | None:
    """Return the head of the final answer, interim (1xx) ones skipped; None when it has no end.

    Empty lines before it are no part of it, as the parser has it.
    """
    while True:
        data = data.lstrip(b"\r\n")
        head, end, data = data.partition(_END)
        if not end:
            return None
        if not _INTERIM.match(head):
            return head


def ends_with_connection(data: bytes) -> bool:
    """Return True when the end of the connection is the end of the body (RFC 9112, 6.3).

    Args:
        data: the answer's first bytes; when its head has no end in them, the answer is False.
    """
    head = final_head(data)
    if head is None:
        return False
    fields = head.lower()
    return b"\r\ncontent-length:" not in fields and b"\r\ntransfer-encoding:" not in fields


def content_coding(data: bytes) -> str:
    """Return the coding of the body, such as `gzip`; empty when it is plain (RFC 9110, 8.4)."""
    coding = _field(_CODING, data).lower()
    return "" if coding == "identity" else coding


def redirect_target(data: bytes) -> str:
    """Return where the answer points to, empty when it does not say (RFC 9110, 10.2.2)."""
    return _field(_LOCATION, data)


def _field(pattern: re.Pattern[bytes], data: bytes) -> str:
    found = pattern.search(final_head(data) or b"")
    return found.group(1).decode("latin-1").strip() if found else ""
