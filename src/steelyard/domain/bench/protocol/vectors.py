"""Answers that hold vectors or ranks and no text: embeddings and rankings.

Sources: the OpenAI API reference, `embeddings`; NVIDIA NeMo Retriever, `/v1/ranking`; Cohere,
`/v2/rerank`; Hugging Face text-embeddings-inference, `/rerank`.
"""

from typing import Any

import msgspec

from steelyard.domain.bench.protocol.body import error_text
from steelyard.domain.bench.response import Piece, Usage, known_count


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw


class _Embeddings(msgspec.Struct):
    data: list[_Vector] | None = None
    usage: _Counts | None = None
    error: Any = None


class _Rank(msgspec.Struct):
    index: int
    logit: float | None = None
    score: float | None = None
    relevance_score: float | None = None

    def has_score(self) -> bool:
        """Return True when one of the fields that servers use is there."""
        return not (self.logit is self.score is self.relevance_score is None)


class _Rankings(msgspec.Struct):
    rankings: list[_Rank] | None = None
    results: list[_Rank] | None = None
    usage: _Counts | None = None
    error: Any = None


_embeddings = msgspec.json.Decoder(_Embeddings)
_rankings = msgspec.json.Decoder(_Rankings)
_bare_rankings = msgspec.json.Decoder(list[_Rank])

_VECTOR_STARTS = (b"[", b'"')


def read_embeddings(body: bytes) -> Piece:
    """Read an answer with one embedding or more, as lists of numbers or as base64 text.

    Raises:
        ValueError: it is none.
    """
    answer = _embeddings.decode(body)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    if not answer.data:
        message = "the answer has no embeddings"
        raise ValueError(message)
    for vector in answer.data:
        given = bytes(vector.embedding)
        if given[:1] not in _VECTOR_STARTS or len(given) == len(b"[]"):
            message = f"an embedding is empty or no vector: {given[:40].decode()}"
            raise ValueError(message)
    return Piece(usage=_usage(answer.usage))


def read_rankings(body: bytes) -> Piece:
    """Read an answer with a score per passage, in any of the three interfaces' shapes.

    Raises:
        ValueError: it is none.
    """
    if body[:1] == b"[":
        return _ranked(_bare_rankings.decode(body), None)
    answer = _rankings.decode(body)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    return _ranked(answer.rankings or answer.results or [], answer.usage)


def _ranked(ranks: list[_Rank], counts: _Counts | None) -> Piece:
    if not ranks or not all(rank.has_score() for rank in ranks):
        message = "the answer has no rankings, or one without a score"
        raise ValueError(message)
    return Piece(usage=_usage(counts))


def _usage(counts: _Counts | None) -> Usage | None:
    """Return the usage; no such answer has output tokens, so their number is known to be 0."""
    if counts is None:
        return None
    given = counts.total_tokens if counts.prompt_tokens is None else counts.prompt_tokens
    return Usage(input_tokens=known_count(given), output_tokens=0)
