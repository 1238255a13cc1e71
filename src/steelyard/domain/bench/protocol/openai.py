"""The OpenAI request and response shapes that many servers speak.

Source: the OpenAI API reference, `chat/completions` and `completions`, and what vLLM, SGLang, TGI,
llama.cpp and NIM add to them (`reasoning_content`, `reasoning`, errors inside a stream).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol.body import error_text, seal
from steelyard.domain.bench.response import (
    Piece,
    RequestContext,
    Usage,
    WireRequest,
    known_count,
)

DONE = b"[DONE]"


class _Text(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    text: str | None = None
    finish_reason: str | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: Any = None
    message: Any = None


_decoder = msgspec.json.Decoder(_Answer)


def read_answer(data: bytes) -> Piece:
    """Read one chunk or one whole answer.

    Raises:
        ValueError: it is not the JSON of such an answer.
    """
    answer = _decoder.decode(data)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    usage = None if answer.usage is None else _usage(answer.usage)
    if not answer.choices:
        if answer.object == "error":
            return Piece(error=error_text(answer.message or "error"))
        if answer.choices is None and usage is None:
            message = "the answer has neither choices, usage nor error"
            raise ValueError(message)
        return Piece(usage=usage)
    choice = answer.choices[0]
    said = choice.delta or choice.message
    finish = choice.finish_reason or ""
    if said is None:
        return Piece(content=choice.text or "", usage=usage, finish_reason=finish)
    content = said.content or said.refusal or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not content and bytes(said.tool_calls) not in _NO_CALLS:
        content = bytes(said.tool_calls).decode()
    return Piece(
        content=content,
        reasoning=said.reasoning_content or said.reasoning or "",
        usage=usage,
        finish_reason=finish,
    )


_NO_CALLS = (b"", b"null", b"[]")


def read_event(data: bytes) -> Piece | None:
    """Read one server-sent event's data; None for the end of the stream."""
    return None if data == DONE else read_answer(data)


def _usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input_tokens=known_count(usage.prompt_tokens),
        output_tokens=known_count(usage.completion_tokens),
        reasoning_tokens=known_count(completion.reasoning_tokens) if completion else -1,
        cached_tokens=known_count(prompt.cached_tokens) if prompt else -1,
    )


def chat_content(history: Sequence[Turn]) -> dict[str, Any]:
    """Return the messages of a conversation, and its tools.

    Tools are like a system prompt: those that a turn declares hold until a later turn declares
    others.
    """
    content: dict[str, Any] = {"messages": chat_messages(history)}
    tools = latest_tools(history)
    return content if tools is None else {**content, "tools": tools}


def latest_tools(history: Sequence[Turn]) -> list[dict[str, Any]] | None:
    """Return the tools that hold at the last turn; None when no turn declares any."""
    return next((turn.raw_tools for turn in reversed(history) if turn.raw_tools is not None), None)


def chat_messages(history: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the messages of a conversation up to and including its last turn."""
    messages: list[dict[str, Any]] = []
    if history[0].system:
        messages.append({"role": "system", "content": history[0].system})
    for turn in history:
        if turn.messages is not None:
            messages.extend(turn.messages)
        else:
            texts = turn.texts or (turn.text,)
            messages += [{"role": turn.role, "content": text} for text in texts]
    return messages


def shape_request(
    plan: EndpointPlan,
    path: str,
    content: Mapping[str, Any],
    turn: Turn,
    context: RequestContext,
) -> WireRequest:
    """Return the request: content, model, stream, limits, then extras; the turn's own go last.

    `max_tokens`, `model` and `extra` are read from the dispatched turn alone, so that nothing of a
    parent turn leaks into a child's request.
    """
    body: dict[str, Any] = {"model": turn.model or context.model, **content}
    if context.streaming:
        body["stream"] = True
        if plan.use_server_token_count:
            body["stream_options"] = {"include_usage": True}
    if turn.max_tokens is not None:
        body[plan.options.get("max_tokens_field", "max_tokens")] = turn.max_tokens
    return seal(plan, path, body, turn, streaming=context.streaming)
