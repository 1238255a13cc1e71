"""What a request asks for: the fields of OpenAI's chat and text completions that matter here."""

from typing import Any

import msgspec

from steelyard.runtime.mock.options import TOKENS_MAX, MockOptions

DEFAULT_TOKENS = 128


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class Limits(msgspec.Struct):
    """The fields that all interfaces share."""

    model: str = ""
    stream: bool | None = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = False
    stream_options: _StreamOptions | None = None


class _Chat(Limits, kw_only=True):
    messages: list[_Message]


class _Completion(Limits, kw_only=True):
    prompt: str | list[Any]


_chat = msgspec.json.Decoder(_Chat)
_completion = msgspec.json.Decoder(_Completion)


class Asked:
    """A request that can be answered.

    Attributes:
        model: as the client wrote it.
        stream: by server-sent events.
        usage: token counts are wanted at the end of the stream.
        prompt_tokens: whitespace-separated words of all texts, or the number of token ids given.
        tokens: length of the answer.
        reason: `stop`, or `length` when a limit of the request cut the answer.
    """

    __slots__ = ("model", "prompt_tokens", "reason", "stream", "tokens", "usage")

    def __init__(self, wanted: Limits, prompt_tokens: int, options: MockOptions) -> None:
        """Apply the limits of the request to the length that the server was told."""
        self.model = wanted.model
        self.stream = bool(wanted.stream)
        self.usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
        self.prompt_tokens = prompt_tokens
        limit = wanted.max_completion_tokens
        if limit is None:
            limit = wanted.max_tokens
        self.tokens, self.reason = _length(wanted, limit, options)


def _length(wanted: Limits, limit: int | None, options: MockOptions) -> tuple[int, str]:
    least = wanted.min_tokens or 0
    if limit is not None and not 1 <= limit <= TOKENS_MAX:
        raise ValueError(f"max_tokens must be 1 to {TOKENS_MAX}, got {limit}.")
    if not 0 <= least <= (limit or TOKENS_MAX):
        raise ValueError(f"min_tokens must be 0 to {limit or TOKENS_MAX}, got {least}.")
    if limit is None:
        return max(options.tokens or DEFAULT_TOKENS, least), "stop"
    if options.tokens is None or wanted.ignore_eos:
        return limit, "length"
    tokens = min(limit, max(options.tokens, least))
    return tokens, "length" if tokens == limit else "stop"


def read_chat(body: bytes, options: MockOptions) -> Asked:
    """Return what a body of `/v1/chat/completions` asks for.

    Raises:
        msgspec.DecodeError: it is no JSON, or a field is missing or of the wrong type.
        ValueError: a value is out of range (DecodeError is one too).
    """
    wanted = _chat.decode(body)
    if not wanted.messages:
        raise ValueError("messages must hold at least one message.")
    words = 0
    for message in wanted.messages:
        content = message.content
        if isinstance(content, str):
            words += len(content.split())
        elif content:
            words += sum(len(part.text.split()) for part in content)
    return Asked(wanted, words, options)


def read_completion(body: bytes, options: MockOptions) -> Asked:
    """Return what a body of `/v1/completions` asks for: one prompt, as text or token ids.

    Raises:
        msgspec.DecodeError: as `read_chat`.
        ValueError: as `read_chat`, and for several prompts.
    """
    wanted = _completion.decode(body)
    prompt = wanted.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return Asked(wanted, len(prompt.split()), options)
    if not prompt or not all(isinstance(token, int) for token in prompt):
        raise ValueError("prompt must be one text, or one list of token ids.")
    return Asked(wanted, len(prompt), options)
