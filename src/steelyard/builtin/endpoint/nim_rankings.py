"""Endpoint `nim_rankings`: NVIDIA NIM reranking."""

from collections.abc import Sequence

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import vectors
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class NimRankingsEndpoint:
    """Sends the last turn's text as the query and its texts as the passages.

    Source: NVIDIA NeMo Retriever text reranking NIM, API reference, `POST /v1/ranking`.
    """

    path = "/v1/ranking"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request."""
        turn = history[-1]
        body = {
            "model": turn.model or context.model,
            "query": {"text": turn.text},
            "passages": [{"text": passage} for passage in turn.texts],
        }
        return seal(self._plan, self.path, body, turn)

    def read_event(self, data: bytes) -> Piece | None:
        """Read a whole answer: this interface has no stream."""
        return self.read_body(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return vectors.read_rankings(body)
