"""A whole OpenAI stream read in one go: the same answers as event by event, at half the cost.

Only what every chunk carries is decoded here; texts are read again by `openai.read_event` in the
rare case that they are needed.
"""

from collections.abc import Iterable, Sequence
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


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """A chunk of the usual shape; anything else is left to `openai.read_event`."""

    choices: tuple[_Choice, ...]
    usage: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Chunk)
_decode, _decode_lines = _decoder.decode, _decoder.decode_lines


def read_stream(events: Sequence[bytes]) -> StreamReading:
    """Read the events of one stream."""
    kinds: list[int] = []
    reading = StreamReading(kinds, lambda: _texts(events[: len(kinds)]))
    note = kinds.append
    for data, chunk in zip(events, _chunks(events), strict=True):
        if chunk is None or not chunk.choices or chunk.usage or chunk.error:
            if not _unusual(data, reading):
                break
            continue
        choice = chunk.choices[0]
        delta = choice.delta
        if delta is None:
            note(CONTENT if choice.text else 0)
        elif delta.content:
            note(CONTENT)
        elif delta.reasoning_content or delta.reasoning:
            note(REASONING)
        elif not _unusual(data, reading):  # a role, an end, usage beside an empty delta, tool calls
            break
    return reading


def _chunks(events: Sequence[bytes]) -> Iterable[_Chunk | None]:
    """Decode all events in one go, or one by one where that can't be; None for what is no chunk."""
    ends = bool(events) and events[-1] == openai.DONE
    lines = b"\n".join(events[:-1] if ends else events)
    try:
        chunks = _decode_lines(lines)
    except UNREADABLE:
        return map(_chunk, events)
    if len(chunks) + ends != len(events) or b"\n" in b"".join(events):
        return map(_chunk, events)  # an event was empty, or of several lines
    return [*chunks, None] if ends else chunks


def _chunk(data: bytes) -> _Chunk | None:
    try:
        return _decode(data)
    except UNREADABLE:
        return None


def _unusual(data: bytes, reading: StreamReading) -> bool:
    """Read one event with the full decoder; False when the stream is over because of it."""
    try:
        piece = openai.read_event(data)
    except UNREADABLE as error:
        reading.malformed = unreadable(error, data)
        return False
    if piece is None:
        reading.kinds.append(0)
        return True
    if piece.usage is not None:
        reading.usage = later_usage(reading.usage, piece.usage)
    if piece.error:
        reading.error = piece.error
        return False
    reading.kinds.append(CONTENT if piece.content else REASONING if piece.reasoning else 0)
    return True


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
