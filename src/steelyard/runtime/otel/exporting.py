"""The process that talks to the collector: events in, OTLP/HTTP out, by the SDK's own exporter."""

import os
import sys
from collections.abc import Iterator
from queue import Empty
from typing import Any, ClassVar

import msgspec

from steelyard.runtime.pipe_frames import Frames
from steelyard.runtime.process import set_title, yield_to_others

NICE = 10
_HOPELESS_MS = 100
_READ_BYTES = 1 << 16

HISTOGRAM_RECORD = "histogram_record"
COUNTER_ADD = "counter_add"
UP_DOWN_COUNTER_ADD = "up_down_counter_add"
FLUSH = "flush"
SHUTDOWN = "shutdown"


class ExportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where telemetry goes.

    Attributes:
        endpoint_url: the collector's full URL for metrics.
        resource_attributes: of every value.
        timeout_s: of one request.
        interval_s: between two exports.
    """

    endpoint_url: str
    resource_attributes: dict[str, str] = {}
    timeout_s: float = 5.0
    interval_s: float = 1.0


class Exporter:
    """Applies events to instruments of the OpenTelemetry SDK.

    Events are mappings with a `type`, one of the five of this module, and a `payload`.
    """

    _MAKERS: ClassVar[dict[str, str]] = {
        HISTOGRAM_RECORD: "create_histogram",
        COUNTER_ADD: "create_counter",
        UP_DOWN_COUNTER_ADD: "create_up_down_counter",
    }

    def __init__(self, settings: ExportSettings) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import (
            MetricExportResult,
            PeriodicExportingMetricReader,
        )
        from opentelemetry.sdk.resources import Resource

        self._taken = False
        exporter = OTLPMetricExporter(endpoint=settings.endpoint_url, timeout=settings.timeout_s)
        export = exporter.export

        def noted(*words: Any, **named: Any) -> Any:
            result = export(*words, **named)
            self._taken = result is MetricExportResult.SUCCESS
            return result

        vars(exporter)["export"] = noted  # what the SDK's reader calls, and drops the answer of
        reader = PeriodicExportingMetricReader(
            exporter,
            export_interval_millis=settings.interval_s * 1000,
            export_timeout_millis=settings.timeout_s * 1000,
        )
        self._timeout_ms = settings.timeout_s * 1000
        self._provider = MeterProvider(
            metric_readers=[reader], resource=Resource(dict(settings.resource_attributes))
        )
        self._meter = self._provider.get_meter("steelyard")
        self._instruments: dict[tuple[str, str], Any] = {}

    def apply(self, event: dict[str, Any]) -> bool:
        """Do what an event says; return False after the last one."""
        kind, payload = event["type"], event["payload"]
        if kind == SHUTDOWN:
            return False
        if kind == FLUSH:
            self._provider.force_flush(self._timeout_ms)
            return True
        instrument = self._instrument(kind, payload)
        tell = instrument.record if kind == HISTOGRAM_RECORD else instrument.add
        tell(payload["value"], payload["attributes"])
        return True

    def close(self) -> bool:
        """Send what is left; tell whether the collector took the last, which has it all."""
        self._provider.force_flush(self._timeout_ms)
        taken = self._taken
        self._provider.shutdown(self._timeout_ms if taken else _HOPELESS_MS)
        return taken

    def _instrument(self, kind: str, payload: dict[str, Any]) -> Any:
        key = kind, payload["metric_name"]
        if key not in self._instruments:
            make = getattr(self._meter, self._MAKERS[kind])
            rest = {}
            if payload.get("explicit_bucket_boundaries"):
                bounds = payload["explicit_bucket_boundaries"]
                rest["explicit_bucket_boundaries_advisory"] = bounds
            self._instruments[key] = make(
                payload["metric_name"], payload["unit"], payload["description"], **rest
            )
        return self._instruments[key]


class DirectQueue:
    """A `BoundedQueue` that holds nothing: what is put is applied at once.

    For a process that is in nobody's way, and may wait for the SDK.
    """

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def put_nowait(self, event: Any, /) -> None:
        """Apply an event."""
        self._exporter.apply(event)

    def get_nowait(self) -> Any:
        """Raise `queue.Empty`: nothing waits here."""
        raise Empty


def _messages(fd: int) -> Iterator[Any]:
    frames = Frames()
    while data := os.read(fd, _READ_BYTES):
        yield from frames.feed(data)


def serve() -> None:
    """Export what comes out of standard input, the settings first, until that ends."""
    yield_to_others(os.getpid(), NICE)
    set_title("otel")
    messages = _messages(sys.stdin.fileno())
    exporter = Exporter(msgspec.convert(next(messages), ExportSettings))
    for event in messages:
        if not exporter.apply(event):
            break
    exporter.close()
