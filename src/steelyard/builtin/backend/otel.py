"""Mirrors a run to an OpenTelemetry collector: each value is a point of a gauge, sent by OTLP/HTTP.

A gauge instrument of the SDK keeps the last value between two exports and no time of its own. So
the points are built here, one per value with the time at which it was logged, and handed to the
SDK's exporter, which encodes and sends them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from steelyard import __version__
from steelyard.domain.track.events import Artifact, Logged, Metric, RunEnded, Tags
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.clock import SystemClock

PREFIX = "steelyard.run"
PARAMS, TAGS, ENDED = f"{PREFIX}.params", f"{PREFIX}.tags", f"{PREFIX}.ended"
_NO_FILES = "OpenTelemetry metrics hold no files"
_INT64 = range(-(2**63), 2**63)
_UNPROCESSABLE = (400, 413)
"""What a collector answers to a request that it will never take: not to be sent again (OTLP)."""


class _UnprocessableError(SteelyardError):
    """The collector will never take this request."""


class OtelBackend:
    """Sends a run's values to a collector, which is told of the run by resource attributes.

    A metric is a gauge of its name whose points have the attribute `step`. Parameters, tags and the
    end are points of value 1 of the gauges `steelyard.run.params`, `.tags` and `.ended`, as
    attributes of these.

    Args:
        endpoint: full URL; without it what OTEL_EXPORTER_OTLP_METRICS_ENDPOINT and
            OTEL_EXPORTER_OTLP_ENDPOINT say, else the collector's port on this host.
        headers: sent with each request, beside those of OTEL_EXPORTER_OTLP_HEADERS.
        timeout_s: how long one request may take, with the exporter's own second tries.
        step: whether points have the attribute `step`; without it a metric is one time series.
    """

    def __init__(
        self,
        endpoint: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        *,
        step: bool = True,
    ) -> None:
        self._endpoint = endpoint or None
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._has_step = step
        self._exporter: Any = None
        self._answers: list[tuple[int, str, bytes]] = []
        self._resource: Any = None

    def open(self, run: RunFacts) -> str:
        """Make the exporter; send the tags with which the run was started."""
        import requests
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.resources import Resource

        session = requests.Session()
        session.hooks["response"].append(self._keep_answer)
        self._exporter = OTLPMetricExporter(
            endpoint=self._endpoint,
            headers=self._headers,
            timeout=self._timeout_s,
            session=session,
        )
        self._resource = Resource(
            {
                "service.name": run.project,
                "service.instance.id": run.run_id,
                f"{PREFIX}.id": run.run_id,
                f"{PREFIX}.name": run.name,
                f"{PREFIX}.project": run.project,
                **({"host.id": run.host_id} if run.host_id else {}),
            }
        )
        if run.tags and not run.reference:
            self._send({TAGS: [_point(1.0, run.started_ns, run.tags)]})
        return run.run_id

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Send one request with all items; what the collector can't process is found by halving.

        Of a request that is taken in part (OTLP's partial success) a collector tells how many
        points it rejected and not which: that many are refused, from the end.
        """
        count = len(items)
        while True:
            refused, points = self._points(items[:count])
            try:
                rejected, why = self._send(points)
            except _UnprocessableError as error:
                if count == 1:
                    return Delivery(1, {0: str(error)})
                count = (count + 1) // 2
                continue
            taken = [index for index in range(count) if index not in refused]
            refused |= dict.fromkeys(taken[len(taken) - rejected :], why)
            return Delivery(count, refused)

    def flush(self) -> None:
        """Nothing is held back: what was taken was answered by the collector."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Send how the run ended, where it did."""
        if self._exporter is None:
            return
        try:
            if end is not None:
                facts = {"status": end.status}
                if end.failure is not None:
                    facts |= {"error.type": end.failure.type, "error.message": end.failure.message}
                self._send({ENDED: [_point(1.0, SystemClock.wall_ns(), facts)]})
        finally:
            exporter, self._exporter = self._exporter, None
            exporter.shutdown()

    def _opened(self) -> Any:
        if self._exporter is None:
            raise PluginError("The otel backend is not open")
        return self._exporter

    def _points(self, items: Sequence[Logged]) -> tuple[dict[int, str], dict[str, list[Any]]]:
        """Return why which items can't be sent, and the points of the others by their gauge."""
        refused: dict[int, str] = {}
        points: dict[str, list[Any]] = {}
        for index, item in enumerate(items):
            if isinstance(item, Artifact):
                refused[index] = f"artifact '{item.name}': {_NO_FILES}"
            elif isinstance(item, Metric):
                step = {"step": item.step} if self._has_step else {}
                point = _point(item.value, item.wall_ns, {"source": item.source, **step})
                points.setdefault(item.name, []).append(point)
            else:
                name = TAGS if isinstance(item, Tags) else PARAMS
                points.setdefault(name, []).append(_point(1.0, item.wall_ns, item.values))
        return refused, points

    def _send(self, points: Mapping[str, list[Any]]) -> tuple[int, str]:
        """Send points by the name of their gauge; return how many were rejected, and why.

        Raises:
            SteelyardError: the collector can't be reached, or took none of them.
        """
        exporter = self._opened()
        if not points:
            return 0, ""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._answers.clear()
        result = exporter.export(_metrics_data(self._resource, points))
        status, reason, body = self._answers[-1] if self._answers else (0, "", b"")
        if result is MetricExportResult.SUCCESS:
            return _rejected(body)
        if status in _UNPROCESSABLE:
            raise _UnprocessableError(f"the collector answered {status} {reason}")
        raise SteelyardError(
            "The collector did not take a batch: "
            + (f"it answered {status} {reason}" if status else "it can't be reached"),
            got=self._endpoint or "the endpoint of the environment, or this host's",
            next_step="Check that a collector with an OTLP/HTTP receiver listens there.",
        )

    def _keep_answer(self, response: Any, *_: Any, **__: Any) -> None:
        # The exporter does not look at what a collector says it rejected of a request.
        self._answers.append((response.status_code, response.reason or "", response.content))


def _rejected(body: bytes) -> tuple[int, str]:
    """Return how many points of a request a collector rejected, and why."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceResponse,
    )

    try:
        answer = ExportMetricsServiceResponse.FromString(body)
    except DecodeError as error:
        raise SteelyardError(f"The collector's answer is no OTLP: {error}") from error
    told = answer.partial_success
    return told.rejected_data_points, f"rejected: {told.error_message or 'it did not say why'}"


def _point(value: float, wall_ns: int, attributes: Mapping[str, Any]) -> Any:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return NumberDataPoint(
        attributes={key: _attribute(one) for key, one in attributes.items()},
        start_time_unix_nano=0,
        time_unix_nano=wall_ns,
        value=value,
    )


def _attribute(value: Any) -> Any:
    """Return a value as an attribute can hold it: what is no text or number goes as JSON."""
    if isinstance(value, str | bool | float) or (isinstance(value, int) and value in _INT64):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _metrics_data(resource: Any, points: Mapping[str, list[Any]]) -> Any:
    from opentelemetry.sdk.metrics.export import (
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = ScopeMetrics(
        scope=InstrumentationScope("steelyard.track", __version__),
        metrics=list(_gauges(points.items())),
        schema_url="",
    )
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _gauges(points: Iterable[tuple[str, list[Any]]]) -> Iterator[Any]:
    from opentelemetry.sdk.metrics.export import Gauge
    from opentelemetry.sdk.metrics.export import Metric as OtelMetric

    for name, values in points:
        yield OtelMetric(name=name, description="", unit="", data=Gauge(data_points=values))
