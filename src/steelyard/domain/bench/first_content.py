"""When a stream says its first word, told while the stream is still coming in."""

from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.protocol.sse import SseParser
from steelyard.domain.bench.response import UNREADABLE
from steelyard.kernel.errors import PluginError


class FirstContent:
    """Looks for the first content or reasoning in the pieces of one streamed body.

    What can't be read holds no content, and nothing behind it is looked at: the reading of the
    whole answer will say what is wrong.

    Args:
        endpoint: reads the events.
    """

    __slots__ = ("_endpoint", "_over", "_parser", "_read")

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser = SseParser()
        self._read = 0
        self._over = False

    def found(self, pieces: list[bytes]) -> bool:
        """Tell whether content is in `pieces`, which may only have grown since the last call."""
        if self._over:
            return False
        if self._read == 0 and pieces and pieces[0][:1] in b"{[":
            self._over = True  # not a stream: its content is there when it is complete
            return False
        for piece in pieces[self._read :]:
            self._read += 1
            if any(self._has_content(event) for event in self._parser.feed(piece)):
                return True
        return False

    def _has_content(self, event: bytes) -> bool:
        if self._over:
            return False
        try:
            piece = self._endpoint.read_event(event)
        except (*UNREADABLE, PluginError):
            self._over = True
            return False
        return piece is not None and bool(piece.content or piece.reasoning)
