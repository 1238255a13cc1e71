"""Endpoint `nim_embeddings`: NVIDIA NIM embeddings."""

from collections.abc import Sequence

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import vectors
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class NimEmbeddingsEndpoint:
    """Sends the last turn's texts as inputs of one `input_type`: `query`, or what an extra says.

    Source: NVIDIA NeMo Retriever text embedding NIM, API reference, `POST /v1/embeddings`.
    """

    path = "/v1/embeddings"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request; `input_type` tells asymmetric models which side they embed."""
        turn = history[-1]
        body = {
            "model": turn.model or context.model,
            "input": list(turn.texts or (turn.text,)),
            "input_type": "query",
        }
        return seal(self._plan, self.path, body, turn)

    def read_event(self, data: bytes) -> Piece | None:
        """Read a whole answer: this interface has no stream."""
        return self.read_body(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return vectors.read_embeddings(body)
