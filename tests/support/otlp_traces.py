"""A collector on loopback that decodes the traces that real exporters send, and may be slow."""

import threading
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_receiver import Collector


class TraceCollector(Collector):  # type: ignore[misc]  # support modules are Any to mypy
    """Keeps the requests for traces that it got; `hold_s` makes it slow."""

    def __init__(self, hold_s: float = 0.0) -> None:
        self.traces: list[Any] = []
        self._hold_s, self._over = hold_s, threading.Event()
        super().__init__()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if path != "/v1/traces":
            return super()._take(path, headers, body)
        if not (self._hold_s and self._over.wait(self._hold_s)):
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        return 200, b""

    def close(self) -> None:
        """Stop."""
        self._over.set()
        super().close()

    def spans(self) -> list[Any]:
        """Return all spans."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes_of(part: Any) -> dict[str, Any]:
    """Return the attributes of a span, event, link or resource, as plain values."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in part.attributes
    }
