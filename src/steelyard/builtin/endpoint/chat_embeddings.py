"""Endpoint `chat_embeddings`: embeddings of a conversation."""

from collections.abc import Sequence

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import openai, vectors
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class ChatEmbeddingsEndpoint:
    """Sends a conversation as chat messages and gets the embedding of it all.

    Source: vLLM, OpenAI-compatible server, "Chat embeddings API".
    """

    path = "/v1/embeddings"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request; a turn of several texts is a message each."""
        turn = history[-1]
        body = {"model": turn.model or context.model, **openai.chat_content(history)}
        return seal(self._plan, self.path, body, turn)

    def read_event(self, data: bytes) -> Piece | None:
        """Read a whole answer: this interface has no stream."""
        return self.read_body(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return vectors.read_embeddings(body)
