"""What an endpoint reads out of a server's bytes."""

from collections.abc import Callable

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the server states them; -1 where it says nothing."""

    input_tokens: int = -1
    output_tokens: int = -1
    reasoning_tokens: int = -1
    cached_tokens: int = -1


COUNT_MAX = 2**31 - 1
"""The largest count of tokens that a record has room for."""


def known_count(count: int | None) -> int:
    """Return what a server counted; -1 where it says nothing, or what can't be a count."""
    return count if count is not None and 0 <= count <= COUNT_MAX else -1


def later_usage(before: Usage | None, now: Usage) -> Usage:
    """Return the counts of `now`, and those of `before` where `now` says nothing.

    Some interfaces count the input in a stream's first event and the output in its last.
    """
    if before is None:
        return now
    return Usage(
        input_tokens=before.input_tokens if now.input_tokens < 0 else now.input_tokens,
        output_tokens=before.output_tokens if now.output_tokens < 0 else now.output_tokens,
        reasoning_tokens=(
            before.reasoning_tokens if now.reasoning_tokens < 0 else now.reasoning_tokens
        ),
        cached_tokens=before.cached_tokens if now.cached_tokens < 0 else now.cached_tokens,
    )


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a stream, or a whole response.

    Attributes:
        content: text of the answer, empty when the event carries none.
        reasoning: text of the model's thinking, empty when none.
        usage: the server's token counts, when this event carries them.
        error: the server's error message inside a 200 response.
        finish_reason: why the server stopped, when it says so.
    """

    content: str = ""
    reasoning: str = ""
    usage: Usage | None = None
    error: str = ""
    finish_reason: str = ""


class RequestContext(msgspec.Struct, frozen=True):
    """What an endpoint may know of the request it shapes.

    The schedule index is not among it: equal turns give equal bytes, so a worker shapes each
    entry of a dataset once.
    """

    model: str
    streaming: bool
    turn: int = 0


class WireRequest(msgspec.Struct, frozen=True):
    """A request ready for a transport: path with query, headers, body."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"


SHOWN_BYTES_MAX = 80

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading bytes that nobody vouches for comes to, when they are not what they should be.

Of these `ValueError` (broken JSON, no UTF-8, a field of another type) is an endpoint's own way to
say so; the others come of what it did not think of, such as a server's nesting without an end.
"""

CONTENT = 1
REASONING = 2


class StreamReading(msgspec.Struct):
    """What an endpoint read out of the events of one stream, all at once.

    Attributes:
        kinds: one per event: `CONTENT`, `REASONING` or 0 for neither.
        usage: the server's token counts, the last that it gave.
        error: the server's error message inside the stream, empty when there was none.
        malformed: why an event can't be read, empty when all can; later events have no kind.
        texts: returns the content and reasoning texts in order; called only when tokens have to
            be counted here.
    """

    kinds: list[int]
    texts: Callable[[], list[str]]
    usage: Usage | None = None
    error: str = ""
    malformed: str = ""


def unreadable(error: Exception, data: bytes) -> str:
    """Return what to say of an event that can't be read."""
    shown = data[:SHOWN_BYTES_MAX].decode("utf-8", "replace")
    return f"an event can't be read ({error}): {shown}"
