"""The bytes of answers, made once per model and interface and stamped with an id per request.

Framing: server-sent events in HTTP chunks, one event a chunk. Every id has the same length, so a
template's sizes hold for all requests and `replace` makes the answer.
"""

import json
import time
from typing import TypeVar

from steelyard.runtime.mock.wire import response

_MARK = b"@request-id@"
"""Stands for the request number in templates: 12 bytes, as its hexadecimal form has."""

_WORDS = (
    "the", "light", "of", "a", "small", "town", "near", "sea", "was", "seen",
    "from", "far", "by", "all", "who", "came",
)  # fmt: skip
"""An answer's words in turn, each with a space before it: one token in usual vocabularies."""

_CACHE_MAX = 64

_Key = TypeVar("_Key")

LAST_CHUNK = b"0\r\n\r\n"


def frame(data: bytes) -> bytes:
    """Return `data` as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: bytes) -> bytes:
    """Return `data` as one server-sent event in one HTTP chunk."""
    return frame(b"data: " + data + b"\n\n")


STREAM_END = event(b"[DONE]") + LAST_CHUNK


def stream_head(*, close: bool) -> bytes:
    """Return the head of a streamed answer."""
    connection = b"Connection: close\r\n" if close else b""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n" + connection + b"\r\n"
    )


class Script:
    """All that can be said to requests of one interface for one model."""

    def __init__(self, model: str, *, chat: bool, tokens_per_chunk: int) -> None:
        """Make the templates."""
        self._model = model
        self._chat = chat
        self.per_chunk = tokens_per_chunk
        self._created = int(time.time())
        self._events = [
            event(self._delta(self._text(k * tokens_per_chunk, tokens_per_chunk)))
            for k in range(len(_WORDS))
        ]
        self._whole: dict[int, bytes] = {}
        self._finish_usage: dict[tuple[str, int, int], bytes] = {}
        self._responses: dict[tuple[str, int, int], bytes] = {}
        # Completions have no roles: there the stream begins with its first content.
        self.role = event(self._json({"role": "assistant", "content": ""}, None)) if chat else b""
        self._finish = {
            reason: event(self._json({} if chat else "", reason)) + STREAM_END
            for reason in ("stop", "length")
        }
        self.broken = event(self._delta(" lost")[:-20])

    def chunks_of(self, tokens: int) -> int:
        """Return how many content chunks `tokens` make."""
        return -(-tokens // self.per_chunk)

    def chunk_tokens(self, chunk: int, tokens: int) -> int:
        """Return how many of `tokens` are in content chunk number `chunk`."""
        return min(self.per_chunk, tokens - chunk * self.per_chunk)

    def content(self, chunk: int, tokens: int) -> bytes:
        """Return the template of content chunk number `chunk` of an answer of `tokens`."""
        size = tokens - chunk * self.per_chunk
        if size >= self.per_chunk:
            return self._events[chunk % len(_WORDS)]
        return event(self._delta(self._text(chunk * self.per_chunk, size)))

    def contents(self, first: int, end: int, tokens: int) -> bytes:
        """Return the templates of content chunks `first..end` of an answer of `tokens`."""
        if first == 0 and end == self.chunks_of(tokens):
            whole = self._whole.get(tokens)
            if whole is None:
                whole = b"".join(self.content(k, tokens) for k in range(end))
                _keep(self._whole, tokens, whole)
            return whole
        return b"".join(self.content(k, tokens) for k in range(first, end))

    def finish(self, reason: str) -> bytes:
        """Return the template of everything after the content, without usage."""
        return self._finish[reason]

    def finish_usage(self, reason: str, prompt_tokens: int, tokens: int) -> bytes:
        """Return the template of everything after the content, usage included."""
        key = (reason, prompt_tokens, tokens)
        data = self._finish_usage.get(key)
        if data is None:
            last = self._json({} if self._chat else "", reason)
            usage = self._envelope([], _usage(prompt_tokens, tokens))
            data = event(last) + event(usage) + STREAM_END
            _keep(self._finish_usage, key, data)
        return data

    def whole_response(self, reason: str, prompt_tokens: int, tokens: int) -> bytes:
        """Return the template of a complete response that isn't streamed, its head included."""
        key = (reason, prompt_tokens, tokens)
        data = self._responses.get(key)
        if data is None:
            data = response(200, self.body(reason, prompt_tokens, tokens))
            _keep(self._responses, key, data)
        return data

    def body(self, reason: str, prompt_tokens: int, tokens: int) -> bytes:
        """Return the template of the body of an answer that isn't streamed."""
        usage = _usage(prompt_tokens, tokens)
        text = self._text(0, tokens)
        choice: dict[str, object] = {"index": 0, "finish_reason": reason, "logprobs": None}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        return self._envelope([choice], usage, whole=True)

    def _text(self, first: int, size: int) -> str:
        return "".join(" " + _WORDS[at % len(_WORDS)] for at in range(first, first + size))

    def _delta(self, text: str) -> bytes:
        return self._json({"content": text} if self._chat else text, None)

    def _json(self, delta: object, reason: str | None) -> bytes:
        key = "delta" if self._chat else "text"
        return self._envelope(
            [{"index": 0, key: delta, "logprobs": None, "finish_reason": reason}], None
        )

    def _envelope(
        self, choices: list[dict[str, object]], usage: dict[str, int] | None, *, whole: bool = False
    ) -> bytes:
        kind = "chat.completion" if self._chat else "text_completion"
        message: dict[str, object] = {
            "id": ("chatcmpl-" if self._chat else "cmpl-") + _MARK.decode(),
            "object": kind + (".chunk" if self._chat and not whole else ""),
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        if usage is not None:
            message["usage"] = usage
        return json.dumps(message, separators=(",", ":")).encode()


def _usage(prompt_tokens: int, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }


def _keep(cache: dict[_Key, bytes], key: _Key, data: bytes) -> None:
    if len(cache) >= _CACHE_MAX:
        cache.clear()
    cache[key] = data


def stamp(template: bytes, number: int) -> bytes:
    """Return `template` with the id of request number `number`."""
    return template.replace(_MARK, b"%012x" % number)
