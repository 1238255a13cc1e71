"""Which metrics are asked, and what failures and clock steps do to them."""

import math

import msgspec
import numpy as np
import pytest

from steelyard.domain.bench.document import number_document
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan
from steelyard.domain.bench.records import MISSING, ErrorKind, StampSource
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.testing.journals import (
    T0_NS,
    WALL_OFFSET_NS,
    answered,
    fake_plan,
    record_batch,
    refused,
    worker_facts,
    write_journal,
)

MS = 1_000_000
HOST = PluginHost.standard()


def summary_of(directory, rows, facts=(), **plan):
    write_journal(directory, fake_plan(directory, **plan), [record_batch(rows)], facts=facts)
    with open_run(directory, HOST) as view:
        return view.summary, list(view.rows())


def test_failures_are_never_answered_where_percentiles_reach_them(tmp_path):
    """90 answers of 20 ms, 10 failures, 5 cancelled: p50 and p75 finite, p90 at rank 89.1 not."""
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(90)]
    rows += [refused(90 + i, start_ms=i) for i in range(10)]
    rows += [refused(100 + i, start_ms=i, kind=ErrorKind.CANCELLED) for i in range(5)]
    metrics = summary_of(tmp_path, rows)[0].metrics
    for tag in ("time_to_first_token", "request_latency"):
        for suffix in ("", "_intended"):
            metric = metrics[f"{tag}{suffix}_adjusted"]
            assert (metric.count, metric.p75, metric.p90) == (100, 20, math.inf), metric.tag
            assert metrics[f"{tag}{suffix}"].p99 == 20
    assert number_document(metric.p99) == {"value": None, "non_finite": "+inf"}
    assert metric.std is None


def test_without_failures_the_adjusted_numbers_are_the_plain_ones(tmp_path):
    rows = [answered(i, start_ms=i, ttft_ms=20 + i) for i in range(9)]
    metrics = summary_of(tmp_path, rows)[0].metrics
    plain, adjusted = metrics["request_latency"], metrics["request_latency_adjusted"]
    for name in ("count", "avg", "min", "max", "std", "p1", "p50", "p99"):
        assert getattr(plain, name) == getattr(adjusted, name), name


def test_an_endpoint_that_makes_no_tokens_has_no_output_metrics(tmp_path):
    """Embeddings: 10 tokens in, none out; a length of 0 would be a claim."""
    rows = [answered(i, start_ms=i, ttft_ms=20, output_tokens=0) for i in range(4)]
    endpoint = EndpointPlan(type="embeddings")
    metrics = summary_of(tmp_path, rows, endpoint=endpoint)[0].metrics
    for tag in ("output_sequence_length", "output_token_throughput", "osl_mismatch_diff_pct"):
        assert (metrics[tag].count, metrics[tag].avg) == (0, None), tag
    assert metrics["input_sequence_length"].avg == 10
    assert metrics["input_token_throughput"].count == 1
    assert metrics["time_to_first_token"].count == 0


def test_lag_behind_a_trace_is_only_told_where_one_is_replayed(tmp_path):
    rows = [answered(0, start_ms=10, ttft_ms=20, lag_ms=3)]
    plain = summary_of(tmp_path / "a", rows)[0].metrics
    replay = PhasePlan(name="profiling", arrival="fixed_schedule")
    replayed = summary_of(tmp_path / "b", rows, phases=(replay,))[0].metrics
    assert (plain["replay_lag"].count, replayed["replay_lag"].avg) == (0, 3)


def test_the_share_of_each_state_adds_up_to_the_concurrency(tmp_path):
    """One answer after the other, 20 of 35 ms without content: 4/7 prefill, 3/7 decode."""
    rows = [answered(i, start_ms=35 * i, ttft_ms=20, itl_ms=5, tokens=4) for i in range(3)]
    metrics = summary_of(tmp_path, rows)[0].metrics
    assert metrics["effective_concurrency"].avg == pytest.approx(1)
    assert metrics["prefill_concurrency"].avg == pytest.approx(20 / 35)
    assert metrics["decode_concurrency"].avg == pytest.approx(15 / 35)
    assert metrics["tokens_in_flight"].avg == pytest.approx(380 / 35)


def stepped(at_ms, steps):
    return msgspec.structs.replace(
        worker_facts(clock_steps=steps), mono_ns=T0_NS + at_ms * MS, wall_offset_ns=WALL_OFFSET_NS
    )


def test_a_request_that_straddles_a_clock_step_is_flagged_and_kept_out_of_latencies(tmp_path):
    """Steps between 100 and 200 ms: of three requests the second seems to have taken an hour."""
    rows = [
        answered(0, start_ms=0, ttft_ms=20, itl_ms=1, tokens=3),
        answered(1, start_ms=120, ttft_ms=3_600_000, itl_ms=7, tokens=3),
        answered(2, start_ms=300, ttft_ms=20, itl_ms=1, tokens=3),
    ]
    summary, exported = summary_of(tmp_path, rows, facts=[stepped(100, 0), stepped(200, 1)])
    metrics = summary.metrics
    assert [row["clock_step"] for row in exported] == [False, True, False]
    assert exported[1]["first_token_ns"] == T0_NS + 3_600_120 * MS
    assert metrics["request_count"].avg == 3
    for tag in ("time_to_first_token", "request_latency", "inter_token_latency"):
        assert (metrics[tag].count, metrics[tag].max) == (2, metrics[tag].min), tag
    assert metrics["inter_chunk_latency"].count == 4
    assert metrics["schedule_lag"].count == 3
    assert metrics["benchmark_duration"].avg == pytest.approx(0.322)
    assert any(
        "1 requests were in flight when the wall clock was set" in n for n in summary.run.notes
    )
    assert "clock_stepped" in {cause.code for cause in summary.verdict.causes}


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_run_is_what_numpy_says_of_its_columns(tmp_path, seed):
    """5,000 requests over three batches: each statistic against the columns held in memory."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([answered(i, start_ms=i, ttft_ms=1) for i in range(5_000)])
    rows["first_token_ns"] += rng.integers(0, 80 * MS, rows.size)
    rows["end_ns"] = rows["first_token_ns"] + rng.lognormal(17, 2, rows.size).astype(np.int64)
    rows["error_kind"][rng.random(rows.size) < 0.1] = ErrorKind.RESET
    rows["first_token_ns"][rng.random(rows.size) < 0.05] = MISSING
    parts = np.array_split(rows, 3)
    batches = [record_batch([part], batch_seq=number) for number, part in enumerate(parts)]
    write_journal(tmp_path, fake_plan(tmp_path), batches)
    with open_run(tmp_path, HOST) as view:
        metrics = view.summary.metrics
    good = rows[rows["error_kind"] == ErrorKind.NONE]
    seen = good[good["first_token_ns"] != MISSING]
    truths = {
        "request_latency": (good["end_ns"] - good["start_ns"]) / MS,
        "time_to_first_token": (seen["first_token_ns"] - seen["start_ns"]) / MS,
        "http_req_receiving": (good["end_ns"] - good["first_byte_ns"]) / MS,
    }
    for tag, truth in truths.items():
        metric = metrics[tag]
        assert metric.count == truth.size
        assert (metric.min, metric.max) == (truth.min(), truth.max())
        assert metric.avg == pytest.approx(truth.mean(), rel=1e-12)
        assert metric.std == pytest.approx(truth.std(ddof=1), rel=1e-12)
        for p in (1, 5, 10, 25, 50, 75, 90, 95, 99):
            assert getattr(metric, f"p{p}") == pytest.approx(np.percentile(truth, p), rel=1e-12)


def test_stamps_of_this_process_are_named(tmp_path):
    """A report without a word would let them pass for the kernel's."""
    by_us = {"stamp_source": StampSource.USER}
    rows = [
        answered(0, start_ms=0, ttft_ms=20),
        answered(1, start_ms=50, ttft_ms=20, **by_us),
        refused(2, start_ms=90, **by_us),
    ]
    notes = " ".join(summary_of(tmp_path, rows)[0].run.notes)
    assert "1 of 2 answers have stamps of this process" in notes
    assert "stamps of this process" not in " ".join(
        summary_of(tmp_path / "kernel", rows[:1])[0].run.notes
    )
