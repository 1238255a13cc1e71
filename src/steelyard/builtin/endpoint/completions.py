"""Endpoint `completions`: OpenAI text completions."""

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


class CompletionsEndpoint:
    """Sends the last turn's text as a prompt.

    Source: OpenAI API reference, `POST /v1/completions`.
    """

    path = "/v1/completions"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request; several texts become a batch of prompts."""
        turn = history[-1]
        prompt = list(turn.texts) if turn.texts else turn.text
        return openai.shape_request(self._plan, self.path, {"prompt": prompt}, turn, context)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return openai.read_event(data)

    def read_stream(self, events: Sequence[bytes]) -> StreamReading:
        """Read all events of a stream; as `read_event` on each, but faster."""
        return openai_stream.read_stream(events)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return openai.read_answer(body)
