"""Endpoint `huggingface_generate`: text-generation-inference's own interface."""

from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import tgi
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class HuggingFaceGenerateEndpoint:
    """Sends the last turn's text as `inputs`, limits as `parameters`.

    Extras go to the top level of the body, not below `parameters`. The server has one model, so
    none is named.

    Source: Hugging Face text-generation-inference, API reference, `POST /generate` and
    `POST /generate_stream`.
    """

    path = "/generate"
    streaming_path = "/generate_stream"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request; several texts are joined, a line each."""
        turn = history[-1]
        parameters: dict[str, Any] = {}
        if turn.max_tokens is not None:
            parameters["max_new_tokens"] = turn.max_tokens
        if self._plan.use_server_token_count:
            parameters["details"] = True
        body = {"inputs": turn.text or "\n".join(turn.texts), "parameters": parameters}
        path = self.streaming_path if context.streaming else self.path
        return seal(self._plan, path, body, turn, streaming=context.streaming)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream."""
        return tgi.read_event(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return tgi.read_body(body)
