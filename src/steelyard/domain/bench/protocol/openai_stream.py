"""A whole OpenAI stream read in one go: the same answers as event by event, at a third of the cost.

Most events of a stream differ from each other in their text alone. Of such a run one is decoded,
which tells where the text stands; the others are of the same JSON when all else is the same bytes
and their text can neither end a JSON string nor escape in it. What is not alike, or has such a
text, is decoded.

Only what every chunk carries is decoded here; texts are read again by `openai.read_event` in the
rare case that they are needed.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from steelyard.domain.bench.protocol import openai
from steelyard.domain.bench.response import (
    CONTENT,
    REASONING,
    UNREADABLE,
    StreamReading,
    later_usage,
    unreadable,
)


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """A chunk of the usual shape; anything else is left to `openai.read_event`."""

    choices: tuple[_Choice, ...]
    usage: Any = None
    error: Any = None


_ASK = -1
"""A kind that has to be looked at once more."""

_RUN_MIN = 16
_TRIES = 3
_PROBE = "Qk9"
"""Put in a text's place, it shows whether it is read as the text."""

_decoder = msgspec.json.Decoder(_Chunk)
_decode, _decode_lines = _decoder.decode, _decoder.decode_lines


def read_stream(events: Sequence[bytes]) -> StreamReading:
    """Read the events of one stream."""
    start, run = _run(events)
    stop = start + len(run)
    rest = [
        CONTENT
        if chunk is not None
        and (choices := chunk.choices)
        and (choices[0].text if (delta := choices[0].delta) is None else delta.content)
        and not chunk.usage
        and not chunk.error
        else _ASK
        for chunk in _chunks([*events[:start], *events[stop:]])
    ]
    kinds = [*rest[:start], *run, *rest[start:]]
    reading = StreamReading(kinds, lambda: _texts(events[: len(kinds)]))
    place = -1
    for _ in range(kinds.count(_ASK)):
        place = kinds.index(_ASK, place + 1)
        kind = _kind(events[place], reading)
        if kind is None:
            del kinds[place:]
            break
        kinds[place] = kind
    return reading


def _run(events: Sequence[bytes]) -> tuple[int, list[int]]:
    """Return where events begin that differ in their text alone, and the kind of each."""
    if len(events) < _RUN_MIN:
        return 0, []
    middle = len(events) // 2
    shapes = (_shape(data) for data in events[middle : middle + _TRIES])
    before, behind, kind = next((shape for shape in shapes if shape is not None), (b"", b"", 0))
    if not kind:
        return 0, []
    start, stop = 0, len(events)
    while not events[start].startswith(before):
        start += 1
    while not events[stop - 1].endswith(behind):
        stop -= 1
    alike = events[start:stop]
    texts = [data[len(before) : -len(behind)] for data in alike]
    inner = b"\n".join(alike)[len(before) : -len(behind)]
    if inner != (behind + b"\n" + before).join(texts):
        return 0, []
    if inner.isascii() and all(texts) and _plain(b"".join(texts)):
        return start, [kind] * len(texts)
    return start, [kind if text and _plain(text) else _ASK for text in texts]


def _shape(data: bytes) -> tuple[bytes, bytes, int] | None:
    """Return what stands before and behind an event's text, and its kind; None without a text."""
    kind, text = _said(data)
    if not text or _PROBE.encode() in data:
        return None
    spelled = text.encode()
    at = data.rfind(b'"%b"' % spelled) + 1
    before, behind = data[:at], data[at + len(spelled) :]
    probed = _said(b"%b%b%b" % (before, _PROBE.encode(), behind))
    return (before, behind, kind) if probed == (kind, _PROBE) else None


def _said(data: bytes) -> tuple[int, str]:
    """Return the kind and text of a chunk that has nothing else to say; 0 and "" of any other."""
    chunk = _chunk(data)
    if chunk is None or not chunk.choices or chunk.usage or chunk.error:
        return 0, ""
    choice = chunk.choices[0]
    delta = choice.delta
    if delta is None:
        return CONTENT, choice.text or ""
    if delta.content:
        return CONTENT, delta.content
    if delta.refusal or delta.tool_calls:
        return 0, ""
    return REASONING, delta.reasoning_content or delta.reasoning or ""


def _plain(text: bytes) -> bool:
    """Return whether bytes between quotes are a JSON string that means just them (RFC 8259, 7)."""
    if b'"' in text or b"\\" in text:
        return False
    try:
        return text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _kind(data: bytes, reading: StreamReading) -> int | None:
    """Return what kind an event is that is no plain content; None ends the stream."""
    kind, text = _said(data)
    if text:
        return kind
    return _unusual(data, reading)  # a role, an end, usage beside an empty delta, tool calls


def _chunks(events: Sequence[bytes]) -> Sequence[_Chunk | None]:
    """Decode all events in one go, or one by one where that can't be; None for what is no chunk."""
    ends = bool(events) and events[-1] == openai.DONE
    lines = b"\n".join(events[:-1] if ends else events)
    try:
        chunks = _decode_lines(lines)
    except UNREADABLE:
        return [_chunk(data) for data in events]
    if len(chunks) + ends != len(events) or b"\n" in b"".join(events):
        return [_chunk(data) for data in events]  # an event was empty, or of several lines
    return [*chunks, None] if ends else chunks


def _chunk(data: bytes) -> _Chunk | None:
    try:
        return _decode(data)
    except UNREADABLE:
        return None


def _unusual(data: bytes, reading: StreamReading) -> int | None:
    """Read one event with the full decoder; None when the stream is over because of it."""
    try:
        piece = openai.read_event(data)
    except UNREADABLE as error:
        reading.malformed = unreadable(error, data)
        return None
    if piece is None:
        return 0
    if piece.usage is not None:
        reading.usage = later_usage(reading.usage, piece.usage)
    if piece.error:
        reading.error = piece.error
        return None
    return CONTENT if piece.content else REASONING if piece.reasoning else 0


def _texts(events: Sequence[bytes]) -> list[str]:
    texts = [_text(data) for data in events]
    return [text for text in texts if text]


def _text(data: bytes) -> str:
    try:
        piece = openai.read_event(data)
    except UNREADABLE:
        # The kinds were told without looking at every field; so is the text then.
        choice = _decode(data).choices[0]
        said = choice.delta
        if said is None:
            return choice.text or ""
        return said.content or said.reasoning_content or said.reasoning or ""
    return "" if piece is None else piece.content or piece.reasoning
