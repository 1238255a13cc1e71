"""The requests and answers of Anthropic's messages interface.

Source: Anthropic API reference, `POST /v1/messages` and "Streaming messages": `message_start`
carries the input's token counts, `message_delta` those of the output so far, `message_stop` ends.
Its `input_tokens` leave out what a cache held; here the input is all of it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.protocol.body import error_text
from steelyard.domain.bench.response import Piece, Usage, known_count

VERSION = "2023-06-01"
MAX_TOKENS = 1024
"""The interface demands a limit; this one is sent when a turn has none."""


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    usage: _Usage | None = None
    stop_reason: str | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str
    delta: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)
_message = msgspec.json.Decoder(_Message)


def conversation(history: Sequence[Turn]) -> dict[str, Any]:
    """Return `messages`, `system` when there is one, and `tools` when a turn declared any."""
    messages: list[dict[str, Any]] = []
    body: dict[str, Any] = {"messages": messages}
    if history[0].system:
        body["system"] = history[0].system
    for turn in history:
        if turn.messages is not None:
            messages += turn.messages
        elif turn.role == "system":
            body["system"] = turn.text
        else:
            texts = turn.texts or (turn.text,)
            messages += [{"role": turn.role, "content": text} for text in texts]
        if turn.raw_tools is not None:
            body["tools"] = turn.raw_tools
    return body


def read_event(data: bytes) -> Piece | None:
    """Read one event; None for `message_stop`.

    Raises:
        ValueError: it is no event.
    """
    event = _event.decode(data)
    if event.type == "message_stop":
        return None
    if event.type == "error":
        return Piece(error=error_text(event.error))
    if event.type == "message_start" and event.message is not None:
        return Piece(usage=_usage(event.message.usage, started=True))
    delta = event.delta
    if delta is None:
        return Piece()
    return Piece(
        content=delta.text or delta.partial_json or "",
        reasoning=delta.thinking or "",
        usage=_usage(event.usage, started=False),
        finish_reason=delta.stop_reason or "",
    )


def read_body(body: bytes) -> Piece:
    """Read a whole answer.

    Raises:
        ValueError: it is none.
    """
    answer = _message.decode(body)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    if answer.content is None:
        message = "the answer has neither content nor error"
        raise ValueError(message)
    content = [block.text or bytes(block.input).decode() for block in answer.content]
    return Piece(
        content="".join(content),
        reasoning="".join(block.thinking or "" for block in answer.content),
        usage=_usage(answer.usage, started=False),
        finish_reason=answer.stop_reason or "",
    )


def _usage(usage: _Usage | None, *, started: bool) -> Usage | None:
    """Return the counts; those of the output mean nothing yet at the start of a stream."""
    if usage is None:
        return None
    parts = (usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    given = usage.input_tokens
    return Usage(
        input_tokens=known_count(None if given is None else given + sum(p or 0 for p in parts)),
        output_tokens=known_count(None if started else usage.output_tokens),
        cached_tokens=known_count(parts[1]),
    )
