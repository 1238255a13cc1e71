"""Sends spans to an OpenTelemetry collector, by the SDK's own exporter (OTLP over HTTP)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steelyard import __version__
from steelyard.kernel.errors import PluginError

INSTALL = "pip install 'steelyard[otel]'"
_SCOPE = "steelyard.fleet"


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: dict[str, Any]


class SpanLink(msgspec.Struct, frozen=True):
    """Another span that has to do with one."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended.

    Attributes:
        trace_id, span_id, parent_id: hexadecimal; no parent where that is empty.
        begin_ns, end_ns: Unix time.
        error: why it is one; empty where it is none.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begin_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    error: str = ""


class SpanSender:
    """Sends spans and waits until the collector took them. Not for threads that are waited for.

    Args:
        endpoint_url: the collector's full URL for traces.
        resource: attributes of all spans.
        timeout_s: of one request with all its further tries.

    Raises:
        PluginError: the extra `otel` is not installed.
    """

    def __init__(
        self, endpoint_url: str, resource: Mapping[str, str], *, timeout_s: float = 5.0
    ) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise PluginError(
                "Traces need the OpenTelemetry SDK",
                got=f"no module {error.name}",
                next_step=INSTALL,
            ) from None
        # What it says of each failure is counted, and told once by who sends.
        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        logger.setLevel(logging.CRITICAL)
        self._resource = Resource(dict(resource))
        self._exporter: Any = OTLPSpanExporter(endpoint=endpoint_url, timeout=timeout_s)

    def send(self, spans: Sequence[Span]) -> bool:
        """Return True when the collector took them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        result = self._exporter.export([self._made(span) for span in spans])
        return bool(result is SpanExportResult.SUCCESS)

    def close(self) -> None:
        """Give up what is under way; may be called from another thread."""
        self._exporter.shutdown()

    def _made(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        status = Status(StatusCode.ERROR, span.error) if span.error else Status()
        return ReadableSpan(
            span.name, _context(span.trace_id, span.span_id),
            _context(span.trace_id, span.parent_id) if span.parent_id else None,
            resource=self._resource, attributes=span.attributes, kind=SpanKind.INTERNAL,
            events=[Event(e.name, e.attributes, e.at_ns) for e in span.events],
            links=[Link(_context(e.trace_id, e.span_id), e.attributes) for e in span.links],
            status=status, start_time=span.begin_ns, end_time=span.end_ns,
            instrumentation_scope=InstrumentationScope(_SCOPE, __version__),
        )  # fmt: skip


def _context(trace_id: str, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)
