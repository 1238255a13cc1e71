"""The answers of OpenAI's responses interface.

Source: OpenAI API reference, `POST /v1/responses` and its streaming events. Events of kinds that
carry no text say nothing here; `response.completed` carries the usage; no `[DONE]` follows, though
some servers send one.
"""

from typing import Any

import msgspec

from steelyard.domain.bench.protocol.body import error_text
from steelyard.domain.bench.response import Piece, Usage, known_count

DONE = b"[DONE]"


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    arguments: str | None = None


class _Response(msgspec.Struct):
    output: list[_Item] | None = None
    usage: _Usage | None = None
    error: Any = None
    status: str | None = None


class _Event(msgspec.Struct):
    type: str
    delta: str | None = None
    response: _Response | None = None
    message: str | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)
_response = msgspec.json.Decoder(_Response)

_CONTENT = frozenset({
    "response.output_text.delta", "response.refusal.delta",
    "response.function_call_arguments.delta",
})  # fmt: skip
_REASONING = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})
_ENDS = frozenset({"response.completed", "response.incomplete"})


def read_event(data: bytes) -> Piece | None:
    """Read one event; None for an end marker.

    Raises:
        ValueError: it is no event.
    """
    if data == DONE:
        return None
    event = _event.decode(data)
    if event.type in _CONTENT:
        return Piece(content=event.delta or "")
    if event.type in _REASONING:
        return Piece(reasoning=event.delta or "")
    if event.type == "error":
        return Piece(error=event.message or error_text(event.error))
    if event.response is None:
        return Piece()
    if event.type == "response.failed":
        return Piece(error=error_text(event.response.error or "the response failed"))
    if event.type in _ENDS:
        return Piece(usage=_usage(event.response), finish_reason=event.response.status or "")
    return Piece()


def read_body(body: bytes) -> Piece:
    """Read a whole answer.

    Raises:
        ValueError: it is none.
    """
    answer = _response.decode(body)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    if answer.output is None:
        message = "the answer has neither output nor error"
        raise ValueError(message)
    content, reasoning = [], []
    for item in answer.output:
        if item.type == "reasoning":
            reasoning += _texts(item.content) or _texts(item.summary)
        else:
            content += _texts(item.content)
            content += [item.arguments] if item.arguments else []
    return Piece(
        content="".join(content),
        reasoning="".join(reasoning),
        usage=_usage(answer),
        finish_reason=answer.status or "",
    )


def _texts(parts: list[_Part] | None) -> list[str]:
    return [part.text for part in parts or () if part.text]


def _usage(answer: _Response) -> Usage | None:
    usage = answer.usage
    if usage is None:
        return None
    given, made = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        input_tokens=known_count(usage.input_tokens),
        output_tokens=known_count(usage.output_tokens),
        reasoning_tokens=known_count(made.reasoning_tokens if made else None),
        cached_tokens=known_count(given.cached_tokens if given else None),
    )
