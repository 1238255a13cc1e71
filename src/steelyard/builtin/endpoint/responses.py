"""Endpoint `responses`: OpenAI responses."""

from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import openai, responses
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class ResponsesEndpoint:
    """Sends a conversation as input items.

    Source: OpenAI API reference, `POST /v1/responses`.
    """

    path = "/v1/responses"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request for the last turn, earlier ones being its history."""
        turn = history[-1]
        body: dict[str, Any] = {
            "model": turn.model or context.model,
            "input": openai.chat_messages(history),
        }
        tools = openai.latest_tools(history)
        if tools is not None:
            body["tools"] = tools
        if context.streaming:
            body["stream"] = True
        if turn.max_tokens is not None:
            body["max_output_tokens"] = turn.max_tokens
        return seal(self._plan, self.path, body, turn, streaming=context.streaming)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return responses.read_event(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return responses.read_body(body)
