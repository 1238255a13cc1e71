"""Answers of interfaces that nobody told us: by a JMESPath query, else by the shapes of the field.

Source of the query language: the JMESPath specification (jmespath.org).
"""

from collections.abc import Mapping
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from steelyard.domain.bench.protocol.body import error_text
from steelyard.domain.bench.response import Piece, Usage, known_count
from steelyard.kernel.errors import UsageError

DONE = b"[DONE]"

_decode = msgspec.json.decode
_encode = msgspec.json.encode

_TEXT_FIELDS = (
    "text", "content", "response", "output", "result", "generated_text", "completion", "answer",
    "output_text",
)  # fmt: skip
_TEXTLESS = ("data", "embeddings", "embedding", "rankings", "results")
_INPUT_COUNTS = ("prompt_tokens", "input_tokens")
_OUTPUT_COUNTS = ("completion_tokens", "output_tokens")
_PAGE_STARTS = ("<!doctype", "<html")


class FreeFormReader:
    """Reads JSON answers of any shape, and plain text.

    Args:
        query: a JMESPath expression that finds the text; empty always detects it. Where the query
            finds nothing, the text is detected.

    Raises:
        UsageError: the query is not JMESPath.
    """

    def __init__(self, query: str) -> None:
        try:
            self._query = jmespath.compile(query) if query else None
        except JMESPathError as error:
            raise UsageError(
                "The response_field is no JMESPath expression",
                got=query,
                expected="such as choices[0].message.content",
                next_step=str(error).partition("\n")[0],
            ) from None

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event; None for `[DONE]`. An object without text is an event without content.

        Raises:
            ValueError: it is no JSON object.
        """
        if data == DONE:
            return None
        answer = _decode(data)
        if not _is_answer(answer):
            message = "the event is no JSON object"
            raise ValueError(message)
        return self._read(answer) or Piece(usage=_usage(answer))

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer.

        Raises:
            ValueError: it is empty, broken JSON, a page, or JSON in which no answer is found.
        """
        try:
            answer = _decode(body)
        except msgspec.DecodeError:
            return Piece(content=_plain(body))
        piece = self._read(answer) if _is_answer(answer) else None
        if piece is None:
            message = "no answer is found in it; name its place with response_field"
            raise ValueError(message)
        return piece

    def _read(self, answer: Any) -> Piece | None:
        if isinstance(answer, Mapping) and answer.get("error"):
            return Piece(error=error_text(answer["error"]))
        found = self._queried(answer)
        if found is None:
            found = _detect(answer)
        return None if found is None else Piece(content=found, usage=_usage(answer))

    def _queried(self, answer: Any) -> str | None:
        if self._query is None:
            return None
        try:
            found = self._query.search(answer)
        except JMESPathError:
            return None  # a function of the query met a value of another type
        return None if found is None else _as_text(found)


def _is_answer(value: Any) -> bool:
    """Return True for an object, or a list that begins with one."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], Mapping)
    return isinstance(value, Mapping)


def _as_text(found: Any) -> str:
    """Return texts as they are, several joined; numbers and vectors are an answer without text."""
    if isinstance(found, str):
        return found
    if isinstance(found, list):
        return "".join(_as_text(part) for part in found)
    return _encode(found).decode() if isinstance(found, Mapping) else ""


def _detect(answer: Any) -> str | None:
    """Return the text by the usual shapes: choices, a text field, vectors; None when none fits."""
    if isinstance(answer, list):
        parts = [_detect(part) for part in answer]
        texts = [part for part in parts if part is not None]
        if not texts and all("index" in part for part in answer if isinstance(part, Mapping)):
            return ""  # a bare list of ranks
        return "".join(texts) if texts else None
    if not isinstance(answer, Mapping):
        return None
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        choice = choices[0]
        inner = choice.get("delta") or choice.get("message") or choice
        return _detect(inner) if isinstance(inner, Mapping) else None
    for field in _TEXT_FIELDS:
        value = answer.get(field)
        if isinstance(value, str):
            return value
        if isinstance(value, list | Mapping) and (text := _detect(value)) is not None:
            return text
    return "" if any(isinstance(answer.get(f), list) and answer[f] for f in _TEXTLESS) else None


def _usage(answer: Any) -> Usage | None:
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    return Usage(_count(usage, _INPUT_COUNTS), _count(usage, _OUTPUT_COUNTS))


def _count(usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    given = (usage.get(name) for name in names)
    counts = (known_count(count) for count in given if isinstance(count, int))
    return next((count for count in counts if count >= 0), -1)


def _plain(body: bytes) -> str:
    """Return a body that is no JSON as text.

    Raises:
        ValueError: it is empty, not UTF-8, JSON that broke off, or a page of HTML.
    """
    text = body.decode().strip()
    if not text or text[0] in '{["' or text[:9].lower().startswith(_PAGE_STARTS):
        message = "it is neither JSON nor plain text"
        raise ValueError(message)
    return text
