"""Endpoint `messages`: Anthropic messages."""

from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import anthropic
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class MessagesEndpoint:
    """Sends a conversation; the system prompt stands beside the messages.

    Source: Anthropic API reference, `POST /v1/messages`.
    """

    path = "/v1/messages"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request for the last turn, earlier ones being its history."""
        turn = history[-1]
        body: dict[str, Any] = {
            "model": turn.model or context.model,
            "max_tokens": anthropic.MAX_TOKENS if turn.max_tokens is None else turn.max_tokens,
            **anthropic.conversation(history),
        }
        if context.streaming:
            body["stream"] = True
        given = {name.lower() for name, _ in self._plan.headers}
        headers = (("anthropic-version", anthropic.VERSION),)
        return seal(
            self._plan,
            self.path,
            body,
            turn,
            streaming=context.streaming,
            headers=() if "anthropic-version" in given else headers,
        )

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return anthropic.read_event(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return anthropic.read_body(body)
