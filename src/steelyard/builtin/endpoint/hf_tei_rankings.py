"""Endpoint `hf_tei_rankings`: reranking by text-embeddings-inference."""

from collections.abc import Sequence

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import vectors
from steelyard.domain.bench.protocol.body import seal
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest


class HfTeiRankingsEndpoint:
    """Sends the last turn's text as the query and its texts as what is ranked.

    The server has one model, so none is named.

    Source: Hugging Face text-embeddings-inference, API reference, `POST /rerank`.
    """

    path = "/rerank"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request."""
        del context
        turn = history[-1]
        body = {"query": turn.text, "texts": list(turn.texts)}
        return seal(self._plan, self.path, body, turn)

    def read_event(self, data: bytes) -> Piece | None:
        """Read a whole answer: this interface has no stream."""
        return self.read_body(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return vectors.read_rankings(body)
