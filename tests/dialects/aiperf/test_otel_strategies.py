"""Streamed results: strategies over a context, and a collector that reads what arrives."""

import multiprocessing
import queue
import time

import pytest
from otlp_receiver import Collector

from steelyard.dialects.aiperf.common.environment import Environment
from steelyard.dialects.aiperf.common.messages.inference_messages import (
    MetricRecordMetadata,
    MetricRecordsData,
)
from steelyard.dialects.aiperf.common.models import CreditPhaseStats
from steelyard.dialects.aiperf.post_processors.otel_metrics_results_processor import (
    OTelMetricsResultsProcessor,
)
from steelyard.dialects.aiperf.post_processors.strategies import (
    MetricResultsStrategy,
    TimingResultsStrategy,
)
from steelyard.dialects.aiperf.post_processors.strategies.core import (
    OTelResultData,
    OTelResultsStrategyProtocol,
    OTelStrategyContextProtocol,
)


def record(error=None, **metrics):
    metadata = MetricRecordMetadata(benchmark_phase="profiling", worker_id="worker_0")
    return MetricRecordsData(metadata=metadata, metrics=metrics, error=error)


def phase(**counts):
    return CreditPhaseStats(phase="profiling", phase_index=0, **counts)


@pytest.fixture
def events():
    return queue.Queue(maxsize=100)


@pytest.fixture
def processor(events):
    return OTelMetricsResultsProcessor(event_queue=events)


def taken(events):
    found = []
    while not events.empty():
        event = events.get_nowait()
        payload = event["payload"]
        found.append((event["type"], payload.get("metric_name"), payload.get("value")))
    return found


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.close()


def told(point):
    return {pair.key: pair.value for pair in point.attributes}


async def test_requests_and_phases_reach_a_collector(collector):
    """By the real exporter, from a process of its own, as OTLP over HTTP."""
    processor = OTelMetricsResultsProcessor(
        collector.url, resource_attributes={"service.name": "steelyard", "model": "mock"}
    )
    for latency_ms in (10.0, 20.0, 30.0):
        data = record(request_latency=latency_ms, inter_chunk_latency=[1.0, 2.0])
        await processor.process_record(data)
    await processor.process_record(phase(sent=5, completed=3, in_flight=2))
    await processor.process_record(phase(sent=9, completed=9, in_flight=0))
    processor.flush()
    assert processor.close(90)
    metrics = collector.metrics()
    (latency,) = metrics["steelyard.request_latency"].histogram.data_points
    assert (latency.count, latency.sum, latency.min, latency.max) == (3, 60.0, 10.0, 30.0)
    assert told(latency)["steelyard.phase"].string_value == "profiling"
    assert told(latency)["steelyard.has_error"].bool_value is False
    (chunks,) = metrics["steelyard.inter_chunk_latency"].histogram.data_points
    assert (chunks.count, chunks.sum) == (6, 9.0)
    (sent,) = metrics["steelyard.timing.requests.sent"].sum.data_points
    assert sent.as_double == 9
    assert metrics["steelyard.timing.requests.sent"].sum.is_monotonic
    (level,) = metrics["steelyard.timing.requests.in_flight"].sum.data_points
    assert level.as_double == 0
    assert not metrics["steelyard.timing.requests.in_flight"].sum.is_monotonic
    resource = collector.requests[-1].resource_metrics[0].resource
    assert {pair.key: pair.value.string_value for pair in resource.attributes}["model"] == "mock"


async def test_a_collector_that_is_gone_costs_nothing_here(collector):
    processor = OTelMetricsResultsProcessor("http://127.0.0.1:1/v1/metrics")
    await processor.process_record(record(request_latency=1.0))
    processor.close(0.2)
    assert processor._fanout_dropped_events == 0


def test_each_strategy_takes_one_kind_of_result(processor):
    metric, timing = MetricResultsStrategy(processor), TimingResultsStrategy(processor)
    assert (metric.supports(record()), metric.supports(phase())) == (True, False)
    assert (timing.supports(record()), timing.supports(phase())) == (False, True)


def test_the_protocols_are_checked_at_runtime(processor):
    assert isinstance(MetricResultsStrategy(processor), OTelResultsStrategyProtocol)
    assert isinstance(processor, OTelStrategyContextProtocol)
    assert not isinstance(object(), OTelResultsStrategyProtocol)
    assert isinstance(record(), OTelResultData)


async def test_a_result_of_another_kind_is_left_alone(processor, events):
    await MetricResultsStrategy(processor).process(phase(sent=1))
    await TimingResultsStrategy(processor).process(record(request_latency=1.0))
    assert taken(events) == []


class Loud(OTelResultsStrategyProtocol):
    """One's own, written as the page shows it."""

    def __init__(self, context: OTelStrategyContextProtocol) -> None:
        self._context = context

    def supports(self, record_data: OTelResultData) -> bool:
        return isinstance(record_data, MetricRecordsData)

    async def process(self, record_data: OTelResultData) -> None:
        histogram = await self._context.get_or_create_histogram(
            "loud.latency", unit="s", explicit_bucket_boundaries=(0.1, 1.0)
        )
        histogram.record(0.5, {"a": 1})


class Broken(Loud):
    async def process(self, record_data: OTelResultData) -> None:
        raise ValueError("broken on purpose")


async def test_a_strategy_of_ones_own_tells_through_the_context(events):
    processor = OTelMetricsResultsProcessor(strategies=[Loud], event_queue=events)
    await processor.process_record(record())
    event = events.get_nowait()
    assert event["type"] == "histogram_record"
    assert event["payload"] == {
        "metric_name": "loud.latency", "unit": "s", "value": 0.5, "attributes": {"a": 1},
        "description": "Metric of requests: loud.latency", "explicit_bucket_boundaries": [0.1, 1.0],
    }  # fmt: skip


async def test_a_strategy_that_raises_is_told_and_the_others_go_on(events, caplog):
    processor = OTelMetricsResultsProcessor(strategies=[Broken, Loud], event_queue=events)
    for strategy in processor._strategies:
        assert strategy.supports(record())
    await processor.process_record(record())
    assert "broken on purpose" in caplog.text
    assert [name for _, name, _ in taken(events)] == ["loud.latency"]


async def test_counters_tell_what_grew_and_levels_what_moved(processor, events):
    """A total that fell begins anew: nothing is counted twice."""
    timing = TimingResultsStrategy(processor)
    await timing.process(phase(sent=5, in_flight=5))
    await timing.process(phase(sent=8, in_flight=2))
    await timing.process(phase(sent=1, in_flight=2))
    assert taken(events) == [
        ("counter_add", "steelyard.timing.requests.sent", 5.0),
        ("up_down_counter_add", "steelyard.timing.requests.in_flight", 5.0),
        ("counter_add", "steelyard.timing.requests.sent", 3.0),
        ("up_down_counter_add", "steelyard.timing.requests.in_flight", -3.0),
    ]


async def test_what_is_no_finite_number_is_not_observed(processor, events):
    data = record(text="x", flag=True, bad=float("nan"), some=[1, float("inf"), 2.5])
    await processor.process_record(data)
    assert [value for _, _, value in taken(events)] == [1.0, 2.5]


def test_a_full_queue_of_another_process_loses_its_oldest(caplog):
    """The queue and its bound are the page's own; what is lost is counted and told."""
    event_queue = multiprocessing.Queue(maxsize=2)
    processor = OTelMetricsResultsProcessor(event_queue=event_queue)
    assert processor._fanout_queue is event_queue
    for number in range(2):
        processor._queue_fanout_event("histogram_record", {"number": number})
    assert event_queue.get(timeout=60)["payload"] == {"number": 0}
    while event_queue.empty():  # its thread is still writing the second
        time.sleep(0.01)
    processor._queue_fanout_event("histogram_record", {"number": 2})
    processor._queue_fanout_event("histogram_record", {"number": 3})
    left = [event_queue.get(timeout=60)["payload"]["number"] for _ in range(2)]
    assert left == [2, 3]
    assert (processor._fanout_sent_events, processor._fanout_dropped_events) == (4, 1)
    assert "the oldest event is dropped (dropped=1)" in caplog.text
    event_queue.close()
    event_queue.join_thread()


def test_drops_are_told_at_thresholds(processor, caplog):
    assert not processor._drop_oldest_fanout_event()
    for _ in range(150):
        processor._record_fanout_drop("dropped on purpose")
    assert processor._fanout_dropped_events == 150
    lines = [line for line in caplog.messages if "dropped on purpose" in line]
    assert lines == ["dropped on purpose (dropped=1)", "dropped on purpose (dropped=100)"]


def test_the_bound_comes_from_the_environment(monkeypatch):
    assert Environment.OTEL.MAX_BUFFERED_RECORDS == 10_000
    monkeypatch.setenv("STEELYARD_OTEL_MAX_BUFFERED_RECORDS", "3")
    assert Environment.OTEL.MAX_BUFFERED_RECORDS == 3
