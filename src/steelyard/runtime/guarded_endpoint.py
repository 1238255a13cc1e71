"""An endpoint that somebody else wrote: whatever it raises is named, and costs one request only."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.response import (
    COUNT_MAX,
    SHOWN_BYTES_MAX,
    UNREADABLE,
    Piece,
    RequestContext,
    StreamReading,
    Usage,
    WireRequest,
)
from steelyard.kernel.errors import PluginError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_host import PluginHost

BUILTIN = "builtin"
_BAD_USAGE = "a usage with what is no count of tokens"


class GuardedEndpoint:
    """Calls an endpoint across the plugin border.

    What can't be read is the server's doing, as the port has it; all else that the endpoint raises
    becomes a `PluginError` that names it and the method. The texts of a stream are asked for at
    once, since later nobody would know what to do without them.

    Args:
        endpoint: any endpoint.
        name: of the plugin.
        border: where failures are counted.
    """

    def __init__(self, endpoint: Endpoint, name: str, border: PluginBorder) -> None:
        self._endpoint = endpoint
        self._label = f"endpoint '{name}'"
        self._border = border
        if hasattr(endpoint, "read_stream"):
            self.read_stream = self._read_stream

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape a request.

        Raises:
            PluginError: the endpoint raised, or gave something else.
        """
        with self._border.crossing(self._label, "build a request"):
            request = self._endpoint.build(history, context)
            whole = _is_whole(request)
        if not whole:
            raise PluginError(
                f"Plugin {self._label} failed to build a request: it gave no WireRequest with "
                "texts and a body of bytes",
                got=type(request).__name__,
            )
        return request

    def read_event(self, data: bytes) -> Piece | None:
        """Read an event.

        Raises:
            ValueError: it can't be read; or another of `UNREADABLE`.
            PluginError: the endpoint raised anything else.
        """
        piece: Piece | None = self._read("read_event", data)
        return piece

    def read_body(self, body: bytes) -> Piece:
        """Read a whole body.

        Raises:
            ValueError: it can't be read; or another of `UNREADABLE`.
            PluginError: the endpoint raised anything else.
        """
        piece: Piece = self._read("read_body", body)
        return piece

    def _read(self, method: str, data: bytes) -> Any:
        with self._border.crossing(self._label, f"{method}()"):
            try:
                piece = getattr(self._endpoint, method)(data)
            except UNREADABLE as error:
                problem: Exception = error
            else:
                wrong = _wrong(piece, none_is_an_end=method == "read_event")
                if not wrong:
                    return piece
                problem = PluginError(
                    f"Plugin {self._label} failed to {method}(): it gave {wrong}",
                    got=_shown(piece) if isinstance(piece, Piece) else type(piece).__name__,
                )
        raise problem

    def _read_stream(self, events: Sequence[bytes]) -> StreamReading:
        """Read a stream's events and their texts.

        Raises:
            PluginError: either raised, or they do not fit each other.
        """
        endpoint: Any = self._endpoint
        with self._border.crossing(self._label, "read_stream()"):
            reading: StreamReading = endpoint.read_stream(events)
            kinds = [int(kind) for kind in reading.kinds]
        with self._border.crossing(self._label, "give the texts() of read_stream()"):
            texts = [str(text) for text in reading.texts()]
        if len(kinds) > len(events) or len(texts) != sum(map(bool, kinds)):
            raise PluginError(
                f"Plugin {self._label} failed to read_stream(): it gave {len(kinds)} kinds and "
                f"{len(texts)} texts",
                expected=f"at most a kind for each of {len(events)} events, and a text for each "
                "kind that is not 0",
            )
        said: list[Any] = [reading.error, reading.malformed]
        if not all(isinstance(each, str) for each in said):
            raise PluginError(
                f"Plugin {self._label} failed to read_stream(): its error or malformed is no text",
                expected="texts, empty where there is nothing to say",
            )
        if _miscounts(reading.usage):
            raise PluginError(
                f"Plugin {self._label} failed to read_stream(): it gave {_BAD_USAGE}",
                got=_shown(reading.usage),
            )
        return StreamReading(kinds, lambda: texts, reading.usage, reading.error, reading.malformed)


def _wrong(piece: Any, *, none_is_an_end: bool) -> str:
    """Return what is wrong with what an endpoint read; its types, too, are only said."""
    if not isinstance(piece, Piece):
        return "" if piece is None and none_is_an_end else "no Piece"
    if not all(isinstance(t, str) for t in (piece.content, piece.reasoning, piece.error)):
        return "a Piece whose text is none"
    return _BAD_USAGE if _miscounts(piece.usage) else ""


def _shown(given: Any) -> str:
    return repr(given)[:SHOWN_BYTES_MAX]


def _miscounts(usage: Any) -> bool:
    """Tell whether a record has no room for a usage's counts; -1 is one that nobody knows."""
    if usage is None:
        return False
    if not isinstance(usage, Usage):
        return True
    counts: tuple[Any, ...] = astuple(usage)
    return not all(isinstance(count, int) and -1 <= count <= COUNT_MAX for count in counts)


def _is_whole(request: Any) -> bool:
    """Tell whether bytes can be made of what an endpoint built; its types are only said."""
    if not isinstance(request, WireRequest):
        return False
    texts: list[Any] = [request.path, request.method]
    for name, value in request.headers:
        texts += (name, value)
    body: Any = request.body
    return isinstance(body, bytes) and all(isinstance(text, str) for text in texts)


def guarded(endpoint: Endpoint, name: str, host: PluginHost) -> Endpoint:
    """Return the endpoint, guarded unless it is one of our own: those cost nothing more."""
    if host.spec("endpoint", name).origin == BUILTIN:
        return endpoint
    return GuardedEndpoint(endpoint, name, host.border)
