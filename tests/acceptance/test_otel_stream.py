"""`steelyard profile --otel-url`: a collector hears of every request while the load runs."""

import pytest
from acceptance_runs import Run, mock_server
from otlp_receiver import Collector

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

ANY_VERDICT = ("--fail-on", "")
"""So that the exit code does not tell how busy the machine was."""


@pytest.fixture(scope="module")
def url():
    with mock_server("--ttft-ms", "5") as found:
        yield found


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.close()


@pytest.mark.parametrize("run_type", ["process", "inline"])
def test_every_request_and_phase_reaches_the_collector(url, tmp_path, collector, run_type):
    """As many observations as answers, and the sum that the report's mean says."""
    run = Run(url, tmp_path / "run", "--otel-url", collector.url, "--run-type", run_type,
              "--warmup-request-count", "4", "--benchmark-duration", "8", "--request-rate", "20",
              "--streaming", "--otel-resource-attributes", "team=infra", *ANY_VERDICT)  # fmt: skip
    assert run.wait() == 0, run.err
    assert len(collector.requests) >= 2, "it was told while the load ran"
    metrics = collector.metrics()
    points = {
        point.attributes[0].value.string_value: point
        for point in metrics["steelyard.request_latency"].histogram.data_points
    }
    latency = run.summary["metrics"]["request_latency"]
    assert points["warmup"].count == 4
    assert points["profiling"].count == latency["count"]
    assert points["profiling"].sum == pytest.approx(latency["avg"] * latency["count"], rel=1e-9)
    assert metrics["steelyard.request_latency"].unit == latency["unit"]
    sent = metrics["steelyard.timing.requests.sent"].sum.data_points
    assert sum(point.as_double for point in sent) == len(run.rows)
    resource = collector.requests[-1].resource_metrics[0].resource
    told = {pair.key: pair.value.string_value for pair in resource.attributes}
    assert (told["team"], told["steelyard.models"]) == ("infra", "mock")
    assert f"Streamed {len(run.rows):,} requests to the collector" in run.err


def test_one_kind_of_result_can_be_chosen(url, tmp_path, collector):
    run = Run(url, tmp_path / "run", "--otel-url", collector.url, "--stream", "timing",
              "--request-count", "10", *ANY_VERDICT)  # fmt: skip
    assert run.wait() == 0, run.err
    assert {name.split(".")[1] for name in collector.metrics()} == {"timing"}


def test_a_collector_that_is_gone_costs_no_result(url, tmp_path):
    run = Run(url, tmp_path / "run", "--otel-url", "127.0.0.1:1", "--request-count", "10",
              *ANY_VERDICT)  # fmt: skip
    assert run.wait() == 0, run.err
    assert run.summary["metrics"]["request_count"]["avg"] == 10
    assert "not streamed: the collector did not take it" in run.err


def test_a_url_with_a_password_is_refused(tmp_path):
    """It would stand in the plan, which is written down."""
    run = Run("http://127.0.0.1:1", tmp_path / "run", "--otel-url", "http://me:pw@127.0.0.1:1")
    assert run.wait() == 2
    assert "OTEL_EXPORTER_OTLP_HEADERS" in run.err
