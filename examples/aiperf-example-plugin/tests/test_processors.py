"""What the example processors count."""

import asyncio

import pytest
from aiperf_example_plugin.processors import (
    ExampleMetricsProcessor,
    ExampleResultsAggregator,
    ProcessingResult,
)

MS = 1_000_000


def rows(*latencies, failed=0):
    """Records as Steelyard exports them; the failed ones took an hour."""
    good = [{"start_ns": 5, "end_ns": 5 + ms * MS, "error_kind": None} for ms in latencies]
    bad = [{"start_ns": 5, "end_ns": 5 + 3_600_000 * MS, "error_kind": "reset"}] * failed
    return good + bad


async def test_counts_rates_and_latencies():
    """Four good requests of 10..40 ms and one reset: 80 % success, the reset's time is left out."""
    result = await ExampleMetricsProcessor().process(rows(10, 20, 30, 40, failed=1))
    assert isinstance(result, ProcessingResult)
    assert result.success
    assert result.record_count == 5
    assert result.metrics["successful_requests"] == 4
    assert result.metrics["failed_requests"] == 1
    assert result.metrics["success_rate"] == pytest.approx(0.8)
    assert result.metrics["error_rate"] == pytest.approx(0.2)
    latency = result.metrics["latency_ms"]
    assert (latency["min"], latency["max"], latency["mean"]) == (10, 40, 25)
    assert latency["std"] == pytest.approx(11.18033989)  # sqrt((225 + 25 + 25 + 225) / 4)
    assert latency["p50"] == 25
    assert latency["p90"] == pytest.approx(37)  # 0.9 * 3 = rank 2.7: 30 + 0.7 * 10


async def test_percentiles_can_be_left_out():
    """`include_percentiles=False` keeps the moments and drops p50..p99."""
    result = await ExampleMetricsProcessor(include_percentiles=False).process(rows(1, 2))
    assert set(result.metrics["latency_ms"]) == {"min", "max", "mean", "std"}


async def test_no_records_give_no_rates():
    """Nothing counted is None, not zero."""
    result = await ExampleMetricsProcessor().process([])
    assert result.record_count == 0
    assert result.metrics["success_rate"] is None
    assert "latency_ms" not in result.metrics


async def test_the_numbers_are_written_as_text(tmp_path):
    """The output file has one `name: value` line per number."""
    file = tmp_path / "new" / "metrics.txt"
    await ExampleMetricsProcessor(output_file=str(file)).process(rows(10, failed=1))
    lines = file.read_text().splitlines()
    assert "total_requests: 2" in lines
    assert "latency_ms.p99: 10" in lines


async def test_plain_rows_with_a_latency_work_too():
    """Rows of other makers may say `latency_ms` and `success` themselves."""
    result = await ExampleMetricsProcessor().process([
        {"latency_ms": 4.0, "success": True}, {"latency_ms": 9.0, "success": False},
    ])  # fmt: skip
    assert result.metrics["latency_ms"]["max"] == 4.0


async def test_long_results_let_the_loop_breathe():
    """Other tasks run while records are counted."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    await ExampleMetricsProcessor().process({"latency_ms": 1.0} for _ in range(20_000))
    other.cancel()
    assert turns >= 4


async def test_sets_are_aggregated_over_all_records():
    """The overall percentile is of the records together, not a mean of percentiles."""
    aggregator = ExampleResultsAggregator()
    summary = await aggregator.aggregate([rows(1, 1, 1), rows(101, failed=1)])
    assert summary["set_count"] == 2
    assert summary["overall"]["total_requests"] == 5
    assert summary["overall"]["latency_ms"]["p50"] == 1
    assert summary["sets"][1]["latency_ms"]["p50"] == 101


async def test_the_report_names_the_whole_and_each_set():
    """The report is text that a person can read top to bottom."""
    aggregator = ExampleResultsAggregator()
    report = await aggregator.generate_report(await aggregator.aggregate([rows(1), rows(3)]))
    lines = report.splitlines()
    assert lines[0] == "Results of 2 set(s)"
    assert "  total_requests: 2" in lines
    assert {"Overall", "Set 1", "Set 2"} <= set(lines)
