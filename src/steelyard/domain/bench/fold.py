"""From stamped body bytes to what they say: the first token, the last, the counts.

Runs after the response, off the timed path.
"""

from collections.abc import Sequence

import msgspec

from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.protocol.sse import SseParser
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.response import Piece, Usage

NO_USAGE = Usage()
_ERROR_TEXT_MAX = 300


class Folded(msgspec.Struct):
    """What a response came to; times as given by the stamps, `MISSING` where there was none.

    Attributes:
        lower_ns: the earliest time at which the first token can have arrived: the stamp of the
            read before it.
        coalesced: content chunks that shared a read with the one before.
        gaps_ns: between successive content chunks, `MISSING` where one read brought both.
        texts: content and reasoning, in order.
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
    texts: list[str] = []


def fold_stream(
    endpoint: Endpoint, pieces: Sequence[bytes], stamps: Sequence[int], before_ns: int
) -> Folded:
    """Read a streamed body.

    Args:
        endpoint: reads each event's data.
        pieces: body bytes in order.
        stamps: the stamp of each piece, ns.
        before_ns: the stamp of the read before the first piece, or of the send.
    """
    folded = Folded(gaps_ns=[], texts=[])
    parser = SseParser()
    stamp = lower_ns = before_ns
    ended = False
    for piece, piece_stamp in zip(pieces, stamps, strict=True):
        if piece_stamp != stamp:
            lower_ns, stamp = stamp, piece_stamp
        for data in parser.feed(piece):
            ended = _event(endpoint, folded, data, stamp, lower_ns) or ended
            if folded.error:
                return folded
    for data in parser.finish():
        ended = _event(endpoint, folded, data, stamp, lower_ns) or ended
    if not folded.chunks and not folded.error:
        _fail(folded, ErrorKind.EMPTY, "the stream ended without any content")
    return folded


def _event(endpoint: Endpoint, folded: Folded, data: bytes, stamp: int, lower_ns: int) -> bool:
    """Fold one event; return True when it ends the stream."""
    try:
        piece = endpoint.read_event(data)
    except ValueError as error:
        shown = data[:80].decode("utf-8", "replace")
        _fail(folded, ErrorKind.MALFORMED, f"an event can't be read ({error}): {shown}")
        return False
    if piece is None:
        return True
    if piece.usage is not None:
        folded.usage = piece.usage
    if piece.error:
        _fail(folded, ErrorKind.SERVER_ERROR, piece.error)
    text = piece.content or piece.reasoning
    if text:
        _content(folded, piece, text, stamp, lower_ns)
    return False


def _content(folded: Folded, piece: Piece, text: str, stamp: int, lower_ns: int) -> None:
    folded.chunks += 1
    folded.texts.append(text)
    if folded.chunks == 1:
        folded.first_token_ns, folded.lower_ns = stamp, lower_ns
    else:
        if folded.chunks == 2:
            folded.second_token_ns = stamp
        gap_ns = stamp - folded.last_token_ns
        if gap_ns == 0:
            folded.coalesced += 1
            gap_ns = MISSING
        folded.gaps_ns.append(gap_ns)
        folded.max_gap_ns = max(folded.max_gap_ns, gap_ns)
    folded.last_token_ns = stamp
    if piece.content and folded.first_output_ns == MISSING:
        folded.first_output_ns = stamp


def fold_body(endpoint: Endpoint, body: bytes) -> Folded:
    """Read a whole body; it has no first token, only an end."""
    folded = Folded(gaps_ns=[], texts=[])
    if not body:
        _fail(folded, ErrorKind.EMPTY, "the response has no body")
        return folded
    try:
        piece = endpoint.read_body(body)
    except ValueError as error:
        shown = body[:80].decode("utf-8", "replace")
        _fail(folded, ErrorKind.MALFORMED, f"the body can't be read ({error}): {shown}")
        return folded
    if piece.usage is not None:
        folded.usage = piece.usage
    if piece.error:
        _fail(folded, ErrorKind.SERVER_ERROR, piece.error)
    folded.texts += [text for text in (piece.reasoning, piece.content) if text]
    return folded


def status_error(status: int, body: bytes) -> str:
    """Return what to say of an HTTP error status: the status and the body's beginning."""
    text = body[:_ERROR_TEXT_MAX].decode("utf-8", "replace").strip()
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _fail(folded: Folded, kind: ErrorKind, text: str) -> None:
    if folded.error == ErrorKind.NONE:
        folded.error, folded.error_text = kind, text[:_ERROR_TEXT_MAX]
