"""From stamped body bytes to what they say: the first token, the last, the counts.

Runs after the response, off the timed path.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from operator import sub

import msgspec

from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.protocol.sse import SseParser
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.response import (
    CONTENT,
    REASONING,
    SHOWN_BYTES_MAX,
    UNREADABLE,
    StreamReading,
    Usage,
    later_usage,
    unreadable,
)

Keep = Callable[[Sequence[bytes], Sequence[int], Sequence[int]], None]
"""Takes the data of a stream's events, their stamps, and what kind each is."""

NO_USAGE = Usage()
_ERROR_TEXT_MAX = 300
_DATA, _BLANK = b"data: ", b"\n\n"


def _no_texts() -> list[str]:
    return []


class Folded(msgspec.Struct):
    """What a response came to; times as given by the stamps, `MISSING` where there was none.

    Attributes:
        lower_ns: the earliest time at which the first token can have arrived: the stamp of the
            read before it.
        coalesced: content chunks that shared a read with the one before.
        gaps_ns: between successive content chunks, `MISSING` where one read brought both.
        texts: returns content and reasoning, in order.
    """

    first_token_ns: int = MISSING
    first_output_ns: int = MISSING
    second_token_ns: int = MISSING
    last_token_ns: int = MISSING
    lower_ns: int = MISSING
    coalesced: int = 0
    chunks: int = 0
    max_gap_ns: int = MISSING
    usage: Usage = NO_USAGE
    error: ErrorKind = ErrorKind.NONE
    error_text: str = ""
    gaps_ns: list[int] = []
    texts: Callable[[], list[str]] = _no_texts


def fold_stream(
    endpoint: Endpoint,
    pieces: Sequence[bytes],
    stamps: Sequence[int],
    before_ns: int,
    keep: Keep | None = None,
) -> Folded:
    """Read a streamed body.

    Args:
        endpoint: reads the events' data; all at once by its `read_stream`, when it has one.
        pieces: body bytes in order.
        stamps: the stamp of each piece, ns.
        before_ns: the stamp of the read before the first piece, or of the send.
        keep: told of the events one by one, for who wants more than is folded.
    """
    events, marks = _events(pieces, stamps)
    read_stream = getattr(endpoint, "read_stream", None)
    reading = read_stream(events) if read_stream else read_one_by_one(endpoint, events)
    folded = _timed(reading, marks, stamps, before_ns)
    if keep is not None:
        keep(events, marks, reading.kinds)
    if reading.usage is not None:
        folded.usage = reading.usage
    if reading.malformed:
        _fail(folded, ErrorKind.MALFORMED, reading.malformed)
    elif reading.error:
        _fail(folded, ErrorKind.SERVER_ERROR, reading.error)
    elif not folded.chunks:
        _fail(folded, ErrorKind.EMPTY, "the stream ended without any content")
    return folded


def _events(pieces: Sequence[bytes], stamps: Sequence[int]) -> tuple[list[bytes], list[int]]:
    """Return each event's data and the stamp of the piece that completed it.

    Nearly always each piece is one event of one `data:` line, and all are split in one go. Else the
    parser sees the pieces that are not, and what follows one that is cut.
    """
    if (alike := _events_alike(pieces)) is not None:
        return alike, list(stamps)
    events: list[bytes] = []
    marks: list[int] = []
    parser = SseParser()
    between = True
    for piece, stamp in zip(pieces, stamps, strict=True):
        end = len(piece) - 2
        one_line = piece[:6] == _DATA and piece.find(b"\n") == end and piece[end:] == _BLANK
        if one_line and between and b"\r" not in piece:
            events.append(piece[6:end])
            marks.append(stamp)
        else:
            more = parser.feed(piece)
            events += more
            marks += [stamp] * len(more)
            between = parser.between_events
    rest = parser.finish()
    return events + rest, marks + [stamps[-1] if stamps else MISSING] * len(rest)


def _events_alike(pieces: Sequence[bytes]) -> list[bytes] | None:
    """Return each piece's data when every piece is one event of one `data:` line, else None."""
    events = [piece[len(_DATA) : -len(_BLANK)] for piece in pieces]
    if b"%b%b%b" % (_DATA, (_BLANK + _DATA).join(events), _BLANK) != b"".join(pieces):
        return None  # what was cut off is not what stands around an event
    data = b"".join(events)
    return None if b"\n" in data or b"\r" in data else events


def read_one_by_one(endpoint: Endpoint, events: Sequence[bytes]) -> StreamReading:
    """Read a stream with `read_event` alone; what an endpoint without `read_stream` gets."""
    texts: list[str] = []
    reading = StreamReading([], lambda: texts)
    for data in events:
        try:
            piece = endpoint.read_event(data)
        except UNREADABLE as error:
            reading.malformed = unreadable(error, data)
            break
        if piece is None:
            reading.kinds.append(0)
            continue
        if piece.usage is not None:
            reading.usage = later_usage(reading.usage, piece.usage)
        if piece.error:
            reading.error = piece.error
            break
        text = piece.content or piece.reasoning
        reading.kinds.append((CONTENT if piece.content else REASONING) if text else 0)
        if text:
            texts.append(text)
    return reading


def _timed(
    reading: StreamReading, marks: Sequence[int], stamps: Sequence[int], before_ns: int
) -> Folded:
    """Give the content chunks their times."""
    kinds = reading.kinds
    times = list(compress(marks, kinds))
    if not times:
        return Folded(gaps_ns=[])
    first_ns = times[0]
    gaps_ns = list(map(sub, times[1:], times))
    if 0 in gaps_ns:
        gaps_ns = [gap or MISSING for gap in gaps_ns]
    first_output = kinds.index(CONTENT) if CONTENT in kinds else MISSING
    return Folded(
        first_token_ns=first_ns,
        first_output_ns=marks[first_output] if first_output >= 0 else MISSING,
        second_token_ns=times[1] if len(times) > 1 else MISSING,
        last_token_ns=times[-1],
        lower_ns=_stamp_before(first_ns, stamps, before_ns),
        coalesced=gaps_ns.count(MISSING),
        chunks=len(times),
        max_gap_ns=max(gaps_ns, default=MISSING),
        gaps_ns=gaps_ns,
        texts=reading.texts,
    )


def _stamp_before(first_ns: int, stamps: Sequence[int], before_ns: int) -> int:
    """Return the stamp of the read before the one stamped `first_ns`."""
    at = stamps.index(first_ns)
    return stamps[at - 1] if at else before_ns


def fold_body(endpoint: Endpoint, body: bytes) -> Folded:
    """Read a whole body; it has no first token, only an end."""
    folded = Folded(gaps_ns=[])
    if not body:
        _fail(folded, ErrorKind.EMPTY, "the response has no body")
        return folded
    try:
        piece = endpoint.read_body(body)
    except UNREADABLE as error:
        shown = body[:SHOWN_BYTES_MAX].decode("utf-8", "replace")
        _fail(folded, ErrorKind.MALFORMED, f"the body can't be read ({error}): {shown}")
        return folded
    if piece.usage is not None:
        folded.usage = piece.usage
    if piece.error:
        _fail(folded, ErrorKind.SERVER_ERROR, piece.error)
    folded.texts = lambda: [text for text in (piece.reasoning, piece.content) if text]
    return folded


def status_error(status: int, body: bytes) -> str:
    """Return what to say of an HTTP error status: the status and the body's beginning."""
    text = body[:_ERROR_TEXT_MAX].decode("utf-8", "replace").strip()
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _fail(folded: Folded, kind: ErrorKind, text: str) -> None:
    if folded.error == ErrorKind.NONE:
        folded.error, folded.error_text = kind, text[:_ERROR_TEXT_MAX]
