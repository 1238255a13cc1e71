"""Embeddings and rankings: an answer with an item for each input, and no text."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from steelyard.runtime.mock.asked import Asked, Limits
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.script import Script

ITEMS_MAX = 8192
"""Inputs that one request may have."""

_VECTOR = [0.0625, -0.125, 0.25, -0.5, 0.5, -0.25, 0.125, -0.0625]


class _Text(msgspec.Struct):
    text: str


class _Embedding(Limits, kw_only=True):
    input: str | list[Any] | None = None
    messages: list[dict[str, Any]] | None = None


class _Ranking(Limits, kw_only=True):
    query: str | _Text
    passages: list[_Text] | None = None
    documents: list[str | _Text] | None = None
    texts: list[str] | None = None


_embedding = msgspec.json.Decoder(_Embedding)
_ranking = msgspec.json.Decoder(_Ranking)


class ItemScript(Script):
    """The answer to a number of inputs.

    Args:
        route: `METHOD PATH` of the interface.
        model: as the client wrote it.
        items: how many inputs there were.
    """

    def __init__(self, route: bytes, model: str, items: int) -> None:
        super().__init__(model, chat=False, tokens_per_chunk=1)
        self._answer = _ANSWERS[route](model, items)

    def body(self, reason: str, prompt_tokens: int, tokens: int) -> bytes:
        """Return the body; its usage, where the interface has one, is the words of all inputs."""
        del reason, tokens
        answer = self._answer
        if isinstance(answer, dict):
            counted = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
            answer = {**answer, "usage": counted}
        return json.dumps(answer, separators=(",", ":")).encode()


def read_items(route: bytes, body: bytes, options: MockOptions) -> tuple[Asked, int]:
    """Return what a body asks for, and how many inputs it has.

    Raises:
        msgspec.DecodeError: it is no JSON, or a field is missing or of the wrong type.
        ValueError: there is no input, or too many (DecodeError is one too).
    """
    if route == _EMBEDDINGS:
        wanted: Limits = (embedding := _embedding.decode(body))
        texts = _inputs(embedding)
    else:
        wanted = (ranking := _ranking.decode(body))
        texts = [
            _plain(part) for part in ranking.passages or ranking.documents or ranking.texts or ()
        ]
    if not 1 <= len(texts) <= ITEMS_MAX:
        raise ValueError(f"there must be 1 to {ITEMS_MAX} inputs, got {len(texts)}.")
    words = sum(len(text.split()) for text in texts)
    if route != _EMBEDDINGS:
        words += len(_plain(ranking.query).split())
    asked = Asked(wanted, words, options)
    asked.stream, asked.tokens, asked.reason = False, 0, "stop"
    return asked, len(texts)


def _inputs(wanted: _Embedding) -> list[str]:
    """Return the texts; token ids count as a word each."""
    if wanted.messages is not None:
        return ["\n".join(str(message.get("content", "")) for message in wanted.messages)]
    given = wanted.input
    if given is None:
        raise ValueError("input is missing.")
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(part, int) for part in given):
        return [_words(given)]
    return [_words(part) for part in given]


def _words(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, list):
        raise ValueError("an input must be a text or a list of token ids.")  # noqa: TRY004  a 400
    return "0 " * len(part)


def _plain(part: str | _Text) -> str:
    return part if isinstance(part, str) else part.text


def _embeddings_answer(model: str, items: int) -> Any:
    data = [{"object": "embedding", "index": at, "embedding": _VECTOR} for at in range(items)]
    return {"object": "list", "model": model, "data": data}


def _score(at: int) -> float:
    return 1.0 / (at + 1)


def _nim_answer(_model: str, items: int) -> Any:
    return {"rankings": [{"index": at, "logit": _score(at)} for at in range(items)]}


def _cohere_answer(model: str, items: int) -> Any:
    results = [{"index": at, "relevance_score": _score(at)} for at in range(items)]
    return {"model": model, "results": results}


def _tei_answer(_model: str, items: int) -> Any:
    return [{"index": at, "score": _score(at)} for at in range(items)]


_EMBEDDINGS = b"POST /v1/embeddings"

_ANSWERS: dict[bytes, Callable[[str, int], Any]] = {
    _EMBEDDINGS: _embeddings_answer,
    b"POST /v1/ranking": _nim_answer,
    b"POST /v1/rerank": _cohere_answer,
    b"POST /v2/rerank": _cohere_answer,
    b"POST /rerank": _tei_answer,
}

ROUTES = {route + b" HTTP/1.1": route for route in _ANSWERS}
"""Request lines, and the routes they mean."""

PATHS = tuple(route.decode().partition(" ")[2] for route in _ANSWERS)
