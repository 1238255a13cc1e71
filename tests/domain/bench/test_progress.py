"""The line a person reads while a run goes on."""

import pytest

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.progress import progress_line, remaining_s

S = 1_000_000_000
STATS = PhaseStats(
    phase="profiling", phase_index=0, sent=60, completed=48, failed=2, in_flight=10, start_ns=0
)


def test_the_line_says_all_that_is_known():
    """50 of 200 ended in 5 s: 10/s, so the other 150 take 15 s."""
    live = {
        "request_count": 200,
        "ttft_p50_ms": 24.51,
        "latency_p50_ms": 1534.0,
        "errors": {"http_status": 2},
    }
    assert progress_line(STATS, live, 5 * S) == (
        "profiling 0:05 | sent 60 | done 50/200 | in flight 10 | 10/s | TTFT 24.5 ms | "
        "latency 1.53 s | 2 http_status | 0:15 left"
    )


def test_what_is_unknown_is_left_out():
    waiting = PhaseStats(phase="warmup", phase_index=0)
    assert progress_line(waiting, {}, 5 * S) == "warmup 0:00 | sent 0 | done 0 | in flight 0"


def test_a_phase_ends_at_the_earlier_of_its_bounds():
    """8 s of 60 s left by count, 25 s by duration."""
    assert remaining_s(STATS, {"request_count": 70, "duration_s": 45.0}, 20.0) == pytest.approx(8)
    assert remaining_s(STATS, {"request_count": 7000, "duration_s": 45.0}, 20.0) == 25
    assert remaining_s(STATS, {}, 20.0) is None


def test_hours_are_told_as_hours():
    assert progress_line(STATS, {}, 3_725 * S).startswith("profiling 1:02:05 | ")
