"""Endpoint `chat`: OpenAI chat completions."""

from collections.abc import Sequence

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import openai, openai_stream
from steelyard.domain.bench.response import (
    Piece,
    RequestContext,
    StreamReading,
    WireRequest,
)


class ChatEndpoint:
    """Sends a conversation as chat messages.

    Source: OpenAI API reference, `POST /v1/chat/completions`.
    """

    path = "/v1/chat/completions"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request for the last turn, earlier ones being its history."""
        content = openai.chat_content(history)
        return openai.shape_request(self._plan, self.path, content, history[-1], context)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return openai.read_event(data)

    def read_stream(self, events: Sequence[bytes]) -> StreamReading:
        """Read all events of a stream; as `read_event` on each, but faster."""
        return openai_stream.read_stream(events)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return openai.read_answer(body)
