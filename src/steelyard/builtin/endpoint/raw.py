"""Endpoint `raw`: request bodies as the user wrote them."""

from collections.abc import Sequence

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol.free_form import FreeFormReader
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest
from steelyard.kernel.errors import UsageError


class RawEndpoint:
    """Sends each turn's payload and adds nothing: no model, no limits, no extras.

    Whether the server streams is what the payload asks for. The answer's text is found by the
    JMESPath `response_field` of the options or of the extra inputs, or detected.
    """

    path = "/"

    def __init__(self, plan: EndpointPlan) -> None:
        self._plan = plan
        settings = {**plan.extra_inputs, **plan.options}
        self._reader = FreeFormReader(str(settings.get("response_field") or ""))

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request.

        Raises:
            UsageError: the dataset makes no payloads.
        """
        payload = history[-1].raw_payload
        if payload is None:
            raise UsageError(
                "The endpoint 'raw' got a turn without a payload",
                expected="a dataset of whole request bodies",
                next_step="Use --custom-dataset-type raw_payload or inputs_json.",
            )
        accept = "text/event-stream" if context.streaming else "application/json"
        headers = (
            ("Content-Type", "application/json"), ("Accept", accept), *self._plan.headers,
        )  # fmt: skip
        body = msgspec.json.encode(payload)
        return WireRequest(path=self._plan.path or self.path, headers=headers, body=body)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event of the stream; None ends it."""
        return self._reader.read_event(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        return self._reader.read_body(body)
