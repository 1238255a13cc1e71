"""An OpenTelemetry collector gets what was logged: read back by a receiver of OTLP/HTTP."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from otlp_receiver import Collector

from steelyard.builtin.backend import otel
from steelyard.domain.track.events import Artifact, Metric, Params, RunEnded
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.discovery import builtin_manifest
from steelyard.testing.contracts.backend import BackendContract, BackendSubject, ReadBack, facts

VERIFIED = frozenset({"metrics", "params", "tags", "status"})
OURS = ("service.", "steelyard.", "host.")


def gauges(collector):
    """Yield resource, name and points of each gauge, in the order of arrival."""
    for request in collector.requests:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.WhichOneof("data") == "gauge"
                    told = attributes(resource.resource)
                    yield told, metric.name, metric.gauge.data_points


def read(collector):
    """Return what a collector has of runs."""
    kept, runs = ReadBack(), set()
    for resource, name, points in gauges(collector):
        runs.add(resource["service.instance.id"])
        for point in points:
            told = attributes(point)
            if name == otel.PARAMS:
                kept.params.update(told)
            elif name == otel.TAGS:
                kept.tags.update(told)
            elif name == otel.ENDED:
                kept.status = told["status"]
            else:
                kept.metrics.setdefault(name, []).append((told["step"], point.as_double))
    kept.runs = max(1, len(runs))
    return kept


def attributes(holder):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


def same_param(kept, given):
    return kept == given or (given is None and kept == "null")


@pytest.fixture
def receiver():
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def backend(receiver):
    made = otel.OtelBackend(receiver.url)
    made.open(facts())
    yield made
    made.close(None)


def metric(value, step=0, name="m"):
    return Metric(name=name, value=value, step=step, wall_ns=1_780_000_000_000_000_001 + step)


class TestOtel(BackendContract):
    @pytest.fixture
    def subject(self):
        """Each directory of a tracker is a receiver; they end with the test."""
        by_directory = {}

        def at(directory):
            return by_directory.setdefault(directory, Collector())

        yield BackendSubject(
            otel.OtelBackend, lambda directory: otel.OtelBackend(at(directory).url),
            lambda directory: read(at(directory)), verified=VERIFIED, same_param=same_param,
        )  # fmt: skip
        for one in by_directory.values():
            one.close()


def test_the_manifest_claims_what_is_read_back_here():
    (told,) = [s for s in builtin_manifest().specs if (s.kind, s.name) == ("backend", "otel")]
    assert told.metadata["verified"] == ["scalar", "parameter", "tag", "status"]


def test_each_value_is_a_point_with_its_own_time_and_the_run_in_its_resource(backend, receiver):
    backend.log([metric(float(step), step) for step in range(1_000)])
    resource, name, points = list(gauges(receiver))[-1]
    assert name == "m"
    assert [p.time_unix_nano for p in points] == [
        1_780_000_000_000_000_001 + s for s in range(1000)
    ]
    assert (resource["steelyard.run.id"], resource["steelyard.run.project"]) == (
        facts().run_id, "kit",
    )  # fmt: skip


def test_a_collector_that_is_down_raises_and_the_batch_arrives_later(backend, receiver):
    receiver.answers = [(500, b"")]
    with pytest.raises(SteelyardError, match="answered 500") as caught:
        backend.log([metric(1.0)])
    assert receiver.url in str(caught.value)
    assert backend.log([metric(1.0)]).taken == 1
    assert read(receiver).metrics == {"m": [(0, 1.0)]}


def test_a_port_where_nobody_listens_raises_in_time():
    backend = otel.OtelBackend("http://127.0.0.1:9/v1/metrics", timeout_s=0.5)
    backend.open(facts("known before"))
    with pytest.raises(SteelyardError, match="can't be reached"):
        backend.log([metric(1.0)])
    backend.close(None)


def test_a_point_that_the_collector_will_never_take_is_found_and_all_others_arrive(
    backend, receiver
):
    def has_bad(request):
        found = request.resource_metrics[0].scope_metrics[0].metrics
        return any(p.as_double == 13 for one in found for p in one.gauge.data_points)

    receiver.refuse = has_bad
    pending, refused = [metric(float(step), step) for step in range(40)], []
    while pending:
        delivery = backend.log(pending)
        refused += [pending[index].step for index in delivery.refused]
        pending = pending[delivery.taken :]
    assert refused == [13]
    assert [step for step, _ in read(receiver).metrics["m"]] == [s for s in range(40) if s != 13]


def test_points_that_the_collector_rejects_are_counted_with_its_reason(backend, receiver):
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 2
    answer.partial_success.error_message = "too old"
    receiver.answers = [(200, answer.SerializeToString())]
    model = Artifact(name="m.bin", sha256="0", size=1, path="/m", wall_ns=0)
    delivery = backend.log([metric(1.0), metric(2.0, 1), metric(3.0, 2), model])
    assert delivery.taken == 4
    assert delivery.refused == {
        1: "rejected: too old", 2: "rejected: too old",
        3: "artifact 'm.bin': OpenTelemetry metrics hold no files",
    }  # fmt: skip


def test_without_steps_a_metric_is_one_time_series(receiver):
    backend = otel.OtelBackend(receiver.url, headers={"X-Scope": "team"}, step=False)
    backend.open(facts())
    backend.log([metric(1.0), metric(2.0, 1)])
    backend.close(RunEnded(status="finished"))
    (points,) = [points for _, name, points in gauges(receiver) if name == "m"]
    assert [attributes(point) for point in points] == [{"source": "script"}] * 2
    assert {key.lower(): value for key, value in receiver.headers[0].items()}["x-scope"] == "team"


def test_the_environment_says_where_the_collector_is(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.removesuffix("/v1/metrics"))
    backend = otel.OtelBackend()
    backend.open(facts())
    backend.log([Params(values={"big": 2**70, "list": [1], "text": "ü"}, wall_ns=5)])
    backend.close(None)
    assert read(receiver).params == {"big": str(2**70), "list": "[1]", "text": "ü"}
