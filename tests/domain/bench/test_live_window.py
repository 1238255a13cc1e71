import numpy as np
import pytest

from steelyard.domain.bench.live_window import SLOT_NS, SLOTS, LiveWindow
from steelyard.domain.bench.records import ErrorKind, empty_batch

MS = 1_000_000
SECOND = 1_000_000_000


def answered(latencies_ms: list[float], tokens: int = 10) -> np.ndarray:
    rows = empty_batch(len(latencies_ms))
    rows["start_ns"] = 5 * SECOND
    rows["first_token_ns"] = rows["start_ns"] + np.array(latencies_ms) * MS / 2
    rows["end_ns"] = rows["start_ns"] + np.array(latencies_ms) * MS
    rows["output_tokens"] = tokens
    return rows


def test_rates_and_quantiles_are_of_what_was_answered():
    """100 answers of 1..100 ms in 2 s, 10 tokens each: 50/s, 500 tokens/s, medians 50 and 25."""
    live = LiveWindow(start_ns=0)
    live.add(answered(list(range(1, 101))), now_ns=SECOND)
    stats = live.stats(2 * SECOND, duplicates=3)
    assert (stats.records, stats.duplicates, stats.window_s) == (100, 3, 2.0)
    assert (stats.request_rate, stats.output_token_rate) == (50, 500)
    assert stats.latency_p50_ms == pytest.approx(50, rel=0.01)
    assert stats.ttft_p50_ms == pytest.approx(25, rel=0.01)
    assert stats.latency_p99_ms == pytest.approx(99, rel=0.01)


def test_failures_are_counted_by_kind_and_kept_out_of_the_latencies():
    """One answer, two failures, one given up, one of a kind that a newer writer knows."""
    live = LiveWindow(start_ns=0)
    rows = answered([1.0, 1.0, 5000.0, 1.0, 1.0])
    rows["error_kind"] = [0, ErrorKind.CONNECT, ErrorKind.CONNECT, ErrorKind.CANCELLED, 99]
    live.add(rows, now_ns=SECOND)
    stats = live.stats(SECOND)
    assert stats.errors == {"connect": 2, "unknown_99": 1}
    assert stats.cancelled == 1
    assert stats.request_rate == 1
    assert stats.latency_p99_ms == pytest.approx(1, rel=0.01)


def test_old_seconds_leave_the_window_but_not_the_totals():
    live = LiveWindow(start_ns=0)
    live.add(answered([1000.0] * 50), now_ns=SECOND)
    live.add(answered([1.0]), now_ns=SLOTS * SLOT_NS + SECOND)
    stats = live.stats(SLOTS * SLOT_NS + SECOND)
    assert stats.records == 51
    assert stats.latency_p99_ms == pytest.approx(1, rel=0.01)
    assert stats.window_s == pytest.approx(SLOTS - 1)


def test_memory_is_the_same_after_an_hour_as_after_a_minute():
    live = LiveWindow(start_ns=0)
    for second in range(3600):
        live.add(answered([1.0]), now_ns=second * SECOND)
    assert len(live._slots) == SLOTS


def test_nothing_measured_is_none_and_not_zero():
    live = LiveWindow(start_ns=7)
    stats = live.stats(7)
    assert (stats.records, stats.request_rate, stats.ttft_p50_ms) == (0, 0, None)
    live.add(empty_batch(2), now_ns=8)
    assert live.stats(8).ttft_p50_ms is None


def in_phase(phase: int, rows: np.ndarray) -> np.ndarray:
    rows["phase"] = phase
    return rows


def test_a_new_phase_begins_anew():
    """Warm-up answers of 500 ms and a failure, then two of 10 ms: the phase has 10 ms and none."""
    live = LiveWindow(start_ns=0)
    warmup = in_phase(0, answered([500.0] * 50))
    warmup["error_kind"][0] = ErrorKind.CONNECT
    live.add(warmup, now_ns=5 * SECOND)
    assert (live.stats(5 * SECOND).phase, live.stats(5 * SECOND).errors) == (0, {"connect": 1})
    live.add(in_phase(1, answered([10.0, 10.0])), now_ns=6 * SECOND)
    stats = live.stats(6 * SECOND)
    assert (stats.phase, stats.records, stats.errors) == (1, 52, {})
    assert stats.latency_p99_ms == pytest.approx(10, rel=0.01)
    assert stats.window_s == pytest.approx(1.0), "since the first send of the phase, at 5 s"
    assert stats.request_rate == pytest.approx(2.0)


def test_a_straggler_of_the_phase_before_is_only_a_record():
    live = LiveWindow(start_ns=0)
    live.add(in_phase(1, answered([10.0])), now_ns=6 * SECOND)
    live.add(in_phase(0, answered([5000.0])), now_ns=6 * SECOND)
    stats = live.stats(7 * SECOND)
    assert (stats.phase, stats.records) == (1, 2)
    assert stats.latency_p99_ms == pytest.approx(10, rel=0.01)


def test_sessions_are_counted_by_their_first_turns():
    """Three turns of two conversations: two first ones."""
    live = LiveWindow(start_ns=0)
    rows = in_phase(0, answered([1.0, 1.0, 1.0]))
    rows["turn"] = [0, 1, 0]
    live.add(rows, now_ns=SECOND)
    assert live.stats(SECOND).sessions == 2
