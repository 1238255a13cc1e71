"""What an endpoint reads out of a server's bytes."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the server states them; -1 where it says nothing."""

    input_tokens: int = -1
    output_tokens: int = -1
    reasoning_tokens: int = -1
    cached_tokens: int = -1


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a stream, or a whole response.

    Attributes:
        content: text of the answer, empty when the event carries none.
        reasoning: text of the model's thinking, empty when none.
        usage: the server's token counts, when this event carries them.
        error: the server's error message inside a 200 response.
        finish_reason: why the server stopped, when it says so.
    """

    content: str = ""
    reasoning: str = ""
    usage: Usage | None = None
    error: str = ""
    finish_reason: str = ""


class RequestContext(msgspec.Struct, frozen=True):
    """What an endpoint may know of the request it shapes.

    The schedule index is not among it: equal turns give equal bytes, so a worker shapes each
    entry of a dataset once.
    """

    model: str
    streaming: bool
    turn: int = 0


class WireRequest(msgspec.Struct, frozen=True):
    """A request ready for a transport: path with query, headers, body."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"
