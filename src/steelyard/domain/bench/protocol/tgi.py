"""The generate interface of Hugging Face's text-generation-inference (TGI).

Source: its API reference, `POST /generate` and `POST /generate_stream`: the last event carries
`generated_text` and, when asked for, `details`; nothing marks the end.
"""

from typing import Any

import msgspec

from steelyard.domain.bench.protocol.body import error_text
from steelyard.domain.bench.response import Piece, Usage, known_count


class _Details(msgspec.Struct):
    finish_reason: str | None = None
    generated_tokens: int | None = None
    input_length: int | None = None


class _Token(msgspec.Struct):
    text: str = ""
    special: bool = False


class _Event(msgspec.Struct):
    token: _Token | None = None
    details: _Details | None = None
    error: Any = None


class _Body(msgspec.Struct):
    generated_text: str | None = None
    details: _Details | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)
_body = msgspec.json.Decoder(_Body)
_bodies = msgspec.json.Decoder(list[_Body])


def read_event(data: bytes) -> Piece | None:
    """Read one event: a token, special ones (such as the end of text) being no content.

    Raises:
        ValueError: it is none.
    """
    event = _event.decode(data)
    if event.error is not None:
        return Piece(error=error_text(event.error))
    if event.token is None:
        message = "the event has neither token nor error"
        raise ValueError(message)
    text = "" if event.token.special else event.token.text
    return _piece(text, event.details)


def read_body(body: bytes) -> Piece:
    """Read a whole answer; older servers put it into a list of one.

    Raises:
        ValueError: it is none.
    """
    if body[:1] == b"[":
        answers = _bodies.decode(body)
        answer = answers[0] if answers else _Body()
    else:
        answer = _body.decode(body)
    if answer.error is not None:
        return Piece(error=error_text(answer.error))
    if answer.generated_text is None:
        message = "the answer has neither generated_text nor error"
        raise ValueError(message)
    return _piece(answer.generated_text, answer.details)


def _piece(text: str, details: _Details | None) -> Piece:
    if details is None:
        return Piece(content=text)
    usage = Usage(
        input_tokens=known_count(details.input_length),
        output_tokens=known_count(details.generated_tokens),
    )
    return Piece(content=text, usage=usage, finish_reason=details.finish_reason or "")
