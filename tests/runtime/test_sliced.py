"""Time slices of a run, against the same metrics of the same rows by hand."""

import msgspec
import numpy as np
import pytest

from steelyard.domain.bench.plan import PhasePlan
from steelyard.kernel.errors import UsageError
from steelyard.runtime import sliced, value_store
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.runtime.results_metrics import MetricSet
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


def slices_of(directory, batches, slice_s=0.1, **more):
    facts = more.pop("facts", ())
    plan = fake_plan(directory, slice_s=slice_s, **more)
    write_journal(directory, plan, batches, facts=facts)
    with open_run(directory, HOST) as view:
        found = list(view.slices())
        assert list(view.slices()) == found
        return found, view.summary


def test_each_slice_has_the_metrics_of_what_was_sent_in_it(tmp_path):
    """Two, no and one request in slices of 100 ms: nothing of the middle one, part of the last."""
    rows = [
        answered(0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4),
        answered(1, start_ms=40, ttft_ms=30, itl_ms=5, tokens=4),
        answered(2, start_ms=210, ttft_ms=10, itl_ms=6, tokens=3),
    ]
    (first, last), _ = slices_of(tmp_path, [record_batch(rows)])
    assert (first.index, first.start_ns, first.is_complete) == (0, T0_NS, True)
    assert (last.index, last.end_ns, last.is_complete) == (2, T0_NS + 232 * MS, False)
    assert first.metrics["time_to_first_token"].avg == 25
    assert last.metrics["time_to_first_token"].avg == 10
    assert first.metrics["request_throughput"].avg == pytest.approx(2 / 0.1)
    assert last.metrics["request_throughput"].avg == pytest.approx(1 / 0.032)
    assert first.metrics["inter_chunk_latency"].count == 6
    assert (last.metrics["inter_chunk_latency"].count, last.metrics["inter_chunk_latency"].p50) == (
        2, 6,
    )  # fmt: skip
    assert "goodput" not in first.metrics


def test_what_is_in_flight_counts_in_every_slice_it_touches(tmp_path):
    """Sent at 0 and in flight for 150 ms beside one of 10 ms: 1.1 requests, then half of one."""
    rows = [
        answered(0, start_ms=0, ttft_ms=150),
        answered(1, start_ms=20, ttft_ms=10),
        answered(2, start_ms=190, ttft_ms=10),
    ]
    (first, second), _ = slices_of(tmp_path, [record_batch(rows)])
    assert first.metrics["effective_concurrency"].avg == pytest.approx(1.1)
    assert second.metrics["effective_concurrency"].avg == pytest.approx(0.6)
    assert first.metrics["decode_concurrency"].avg == pytest.approx(0)


@pytest.mark.parametrize(("held", "block"), [(4096, 32_768), (700, 32_768), (64, 16)])
def test_slices_are_exact_in_any_order_and_size_of_batches(tmp_path, monkeypatch, held, block):
    """3,000 requests in a disorder of batches: each slice's percentiles are numpy's.

    All slices together, a few, or each of the ten by itself and from its scratch file.
    """
    monkeypatch.setattr(sliced, "CHUNK_ROWS", held)
    monkeypatch.setattr(value_store, "BLOCK_VALUES", block)
    rng = np.random.default_rng(4)
    rows = np.concatenate([answered(i, start_ms=0, ttft_ms=1, tokens=3) for i in range(3_000)])
    shift = rng.integers(0, 950 * MS, rows.size)
    wait = rng.integers(1 * MS, 90 * MS, rows.size)
    for name in ("intended_ns", "start_ns", "sent_ns"):
        rows[name] += shift
    for name in ("first_token_ns", "first_byte_ns", "first_output_ns"):
        rows[name] += shift + wait
    pace = rng.integers(MS, 20 * MS, rows.size)
    rows["second_token_ns"] = rows["first_token_ns"] + pace
    rows["last_token_ns"] = rows["end_ns"] = rows["first_token_ns"] + 2 * pace
    parts = np.array_split(rng.permutation(rows), 7)
    batches = [record_batch([part], batch_seq=number) for number, part in enumerate(parts)]
    found, summary = slices_of(tmp_path, batches)
    origin = rows["start_ns"].min()
    for part in found:
        own = rows[(rows["start_ns"] - origin) // (100 * MS) == part.index]
        if not own.size:
            assert part is found[-1]
            continue
        truth = (own["first_token_ns"] - own["start_ns"]) / MS
        ttft = part.metrics["time_to_first_token"]
        assert ttft.count == part.metrics["request_count"].avg == own.size
        assert ttft.p90 == pytest.approx(np.percentile(truth, 90), rel=1e-12)
        gaps = part.metrics["inter_chunk_latency"]
        assert gaps.count == 2 * own.size
        ours = (own["second_token_ns"] - own["first_token_ns"]) / MS
        assert gaps.p50 == pytest.approx(np.percentile(np.repeat(ours, 2), 50), abs=1e-6)
    counts = sum(part.metrics["request_count"].avg for part in found)
    assert counts == summary.metrics["request_count"].avg
    busy = sum(
        part.metrics["effective_concurrency"].avg * (part.end_ns - part.start_ns) for part in found
    )
    whole = summary.metrics["effective_concurrency"].avg
    assert busy == pytest.approx(whole * (rows["end_ns"].max() - origin), rel=1e-9)


def test_a_stall_is_a_slice_of_its_own(tmp_path):
    """Sent at 0, answered at 250 ms: nothing is sent in the second and third slice."""
    found, _ = slices_of(tmp_path, [record_batch([answered(0, start_ms=0, ttft_ms=250)])])
    assert [part.metrics["request_count"].avg for part in found] == [1, 0, 0]
    assert [part.metrics["effective_concurrency"].avg for part in found] == [1, 1, 1]
    assert "request_latency" not in found[1].metrics


def test_warm_up_is_in_no_slice_and_failures_count(tmp_path):
    phases = (PhasePlan(name="warmup", kind="warmup"), PhasePlan(name="profiling"))
    rows = [
        answered(0, start_ms=0, ttft_ms=900, phase=0),
        answered(0, start_ms=1_000, ttft_ms=10, phase=1),
        refused(1, start_ms=1_001, phase=1),
    ]
    (only,), _ = slices_of(tmp_path, [record_batch(rows)], phases=phases)
    assert only.metrics["request_count"].avg == only.metrics["error_request_count"].avg == 1
    assert only.metrics["error_rate"].avg == 50


def test_a_plan_without_slices_has_none(tmp_path):
    rows = [answered(0, start_ms=0, ttft_ms=9)]
    assert slices_of(tmp_path, [record_batch(rows)], slice_s=None)[0] == []
    assert slices_of(tmp_path / "empty", [])[0] == []


def test_too_many_slices_are_refused_and_leave_nothing(tmp_path):
    write_journal(
        tmp_path,
        fake_plan(tmp_path, slice_s=1e-9),
        [record_batch([answered(0, start_ms=0, ttft_ms=9)])],
    )
    with open_run(tmp_path, HOST) as view, pytest.raises(UsageError, match="too many time slices"):
        list(view.slices())
    assert not list(tmp_path.glob(".results-*"))


def test_a_clock_step_is_kept_out_of_slices_too(tmp_path):
    facts = [
        msgspec.structs.replace(
            worker_facts(clock_steps=steps), mono_ns=T0_NS + at, wall_offset_ns=WALL_OFFSET_NS
        )
        for at, steps in ((100 * MS, 0), (200 * MS, 1))
    ]
    rows = [
        answered(0, start_ms=0, ttft_ms=20, itl_ms=1, tokens=3),
        answered(1, start_ms=120, ttft_ms=3_600_000, itl_ms=7, tokens=3),
        answered(2, start_ms=210, ttft_ms=20, itl_ms=1, tokens=3),
    ]
    found, _ = slices_of(tmp_path, [record_batch(rows)], facts=facts)
    assert [part.index for part in found] == [0, 1, 2]
    assert "time_to_first_token" not in found[1].metrics
    assert "inter_chunk_latency" not in found[1].metrics
    assert found[1].metrics["request_count"].avg == 1


def test_metrics_are_asked_once_for_many_slices(tmp_path, monkeypatch):
    """600 slices of one request each: the run itself, then 512 slices and 88."""
    asked = []
    real = MetricSet.record_values

    def counting(self, batch, totals):
        asked.append(batch.size)
        return real(self, batch, totals)

    monkeypatch.setattr(MetricSet, "record_values", counting)
    rows = [answered(i, start_ms=2 * i, ttft_ms=1) for i in range(600)]
    found, _ = slices_of(tmp_path, [record_batch(rows)], slice_s=0.002)
    assert len(found) == 600
    assert asked == [600, 512, 88, 512, 88]  # slices_of reads them twice


def test_small_slices_and_large_ones_say_the_same_in_every_metric(tmp_path, monkeypatch):
    """Of one run, with failures and objectives, folded together and each by itself."""
    rows = [answered(i, start_ms=7 * i, ttft_ms=1 + i % 9, itl_ms=2, tokens=5) for i in range(80)]
    rows += [refused(100 + i, start_ms=31 * i) for i in range(9)]
    goodput = {"time_to_first_token": 4.0}
    together, _ = slices_of(tmp_path / "a", [record_batch(rows)], goodput=goodput)
    monkeypatch.setattr(sliced, "CHUNK_ROWS", 1)
    alone, _ = slices_of(tmp_path / "b", [record_batch(rows)], goodput=goodput)
    assert [set(part.metrics) for part in together] == [set(part.metrics) for part in alone]
    for left, right in zip(together, alone, strict=True):
        assert (left.index, left.start_ns, left.end_ns) == (
            right.index,
            right.start_ns,
            right.end_ns,
        )
        for tag, metric in left.metrics.items():
            other = right.metrics[tag]
            for name, value in msgspec.structs.asdict(metric).items():
                twin = getattr(other, name)
                same = pytest.approx(twin, rel=1e-9) if isinstance(twin, float) else twin
                assert value == same, (tag, name)
    assert "goodput" in together[0].metrics
