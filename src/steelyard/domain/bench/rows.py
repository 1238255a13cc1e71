"""The fields that users write for one request, and the turn they make.

All are optional but one content: `text` or `prompt`, `texts`, `messages`, or `query`.

- `text` or `prompt`: the user's message.
- `texts`: several inputs of one request (embeddings, batches), as texts or as
  `{"name": ..., "contents": [...]}`; contents named `query` and `passages` are ranked.
- `messages`: complete chat messages.
- `query` and `passages`: what is ranked.
- `system`: system prompt.  `role`: who speaks, `user` when missing.
- `model`: overrides the run's model.
- `max_tokens` or `output_length`: output tokens asked for.
- `delay` or `delay_ms`, `timestamp` or `timestamp_ms`: milliseconds.
- `tools` or `raw_tools`: tool definitions.
- `extra`: merged last into this request's body.

Other fields are left alone.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import DatasetPlan

Count = Annotated[int, msgspec.Meta(ge=1)]
Millis = Annotated[float, msgspec.Meta(ge=0)]

_CONTENTS = ("text", "prompt", "texts", "messages", "query")

_Value = TypeVar("_Value")


class NamedTexts(msgspec.Struct, frozen=True):
    """Several texts with a name."""

    contents: list[str]
    name: str = ""


class TurnRow(msgspec.Struct, frozen=True):
    """One request as a user writes it; the fields are those of this module's docstring."""

    text: str | None = None
    prompt: str | None = None
    texts: list[str | NamedTexts] | None = None
    messages: list[dict[str, Any]] | None = None
    query: str | None = None
    passages: list[str] | None = None
    system: str = ""
    role: str = "user"
    model: str | None = None
    max_tokens: Count | None = None
    output_length: Count | None = None
    delay: Millis | None = None
    delay_ms: Millis | None = None
    timestamp: Millis | None = None
    timestamp_ms: Millis | None = None
    tools: list[dict[str, Any]] | None = None
    raw_tools: list[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


def require_content(row: TurnRow) -> None:
    """Check that there is one content and no more.

    Raises:
        ValueError: with what was given.
    """
    given = [name for name in _CONTENTS if getattr(row, name) is not None]
    if len(given) != 1:
        raise ValueError(" and ".join(given) or "none of them")


CONTENT_EXPECTED = "one of the fields " + ", ".join(_CONTENTS)


def default_osl(plan: DatasetPlan) -> int | None:
    """Return the output tokens asked for where a row asks for none; None for no word of them."""
    return None if plan.osl_mean is None else max(1, round(plan.osl_mean))


def turn_of(row: TurnRow, count: Callable[[str], int], osl: int | None) -> Turn:
    """Return the turn of a row that has its content.

    Args:
        row: checked with `require_content`.
        count: counts tokens; not asked for messages, whose template only a server knows.
        osl: output tokens asked for where the row asks for none.
    """
    text, texts = _contents(row)
    counted = -1
    if row.messages is None:
        counted = sum(map(count, [text, *texts] if text or not texts else texts))
    return Turn(
        text=text,
        texts=tuple(texts),
        role=row.role,
        messages=row.messages,
        system=row.system,
        model=row.model or "",
        max_tokens=first_given(row.max_tokens, row.output_length, osl),
        input_tokens=counted,
        delay_ms=first_given(row.delay_ms, row.delay, 0.0) or 0.0,
        timestamp_ms=first_given(row.timestamp_ms, row.timestamp),
        extra=row.extra or {},
        raw_tools=first_given(row.raw_tools, row.tools),
    )


def _contents(row: TurnRow) -> tuple[str, list[str]]:
    """Return the text and the texts; a query is a text that has passages beside it."""
    text = first_given(row.text, row.prompt, row.query) or ""
    texts: list[str] = list(row.passages or ())
    for part in row.texts or ():
        if isinstance(part, str):
            texts.append(part)
        elif part.name == "query":
            text = " ".join(part.contents)
        else:
            texts += part.contents
    return text, texts


def first_given(*values: _Value | None) -> _Value | None:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)
