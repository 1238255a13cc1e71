"""The line a person reads while a run goes on."""

import msgspec
import pytest

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.progress import grace_end_ns, progress_line, remaining_s

S = 1_000_000_000
STATS = PhaseStats(
    phase="profiling", phase_index=1, sent=60, completed=48, failed=2, in_flight=10, start_ns=0
)
LIVE = {
    "phases": 2,
    "request_count": 200,
    "asked_rate": 60.0,
    "request_rate": 10.04,
    "ttft_p50_ms": 24.51,
    "ttft_p99_ms": 80.12,
    "latency_p50_ms": 1534.0,
    "latency_p99_ms": 2210.0,
    "errors": {"http_status": 2},
}
DRAINING = msgspec.structs.replace(STATS, sent_end_ns=10 * S)


def test_the_line_says_all_that_is_known():
    """60 sent in 5 s; the other 140 take 2.3 s at 60/s, and the last answer 1.5 s more."""
    assert progress_line(STATS, LIVE, 5 * S) == (
        "profiling 2/2 0:05 | done 50/200 | in flight 10 | sent 12/s of 60 | "
        "TTFT p50/p99 24.5/80.1 ms | latency p50/p99 1.53/2.21 s | 2 http_status | 0:04 left"
    )


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            120,
            (
                "profiling 2/2 0:05 | done 50/200 | 10 in flight | sent 12/s | TTFT 24.5 ms | "
                "latency 1.53 s | 2 http_status | 0:04 left"
            ),
        ),
        (
            80,
            "profiling 2/2 0:05 | done 50/200 | sent 12/s | 2 failed | 0:04 left",
        ),
        (50, "profiling 2/2 0:05 | done 50/200 | 0:04 left"),
        (12, "profiling 2/"),
    ],
)
def test_a_narrow_terminal_has_what_matters_most(width, line):
    """Percentiles go first, then latency and what else is dear; how long it takes stays."""
    assert progress_line(STATS, LIVE, 5 * S, width) == line


def test_what_is_unknown_is_left_out():
    waiting = PhaseStats(phase="warmup", phase_index=0)
    assert progress_line(waiting, {}, 5 * S) == "warmup 0:00 | done 0 | in flight 0"
    assert progress_line(PhaseStats(phase="starting", phase_index=-1), {}, S) == "starting"


def test_a_closed_loop_has_the_pace_of_its_answers_and_units_of_their_own():
    """As the last seconds had it, or on the whole: 50 in 5 s."""
    live = {"request_rate": 12.34, "ttft_p50_ms": 900.0, "ttft_p99_ms": 1100.0}
    line = progress_line(STATS, live, 5 * S)
    assert "| 12.3/s | TTFT p50/p99 900 ms/1.1 s |" in line
    assert "| 10/s |" in progress_line(STATS, {}, 5 * S)


def test_what_was_sent_is_the_pace_of_sending_however_long_answers_take():
    """60 in 10 s, and 10 s of waiting since."""
    assert "| sent 6/s of 6 |" in progress_line(DRAINING, {"asked_rate": 6.0}, 20 * S)


def test_errors_are_told_by_kind_the_commonest_first():
    """Five kinds: three by name, and 1 + 1 of others."""
    stats = msgspec.structs.replace(STATS, failed=17)
    kinds = {"a": 1, "reset": 4, "timeout": 9, "b": 1, "tls": 2}
    line = progress_line(stats, {"errors": kinds}, 5 * S)
    assert "| 9 timeout, 4 reset, 2 tls, 2 more" in line
    assert "| 17 failed" in progress_line(stats, {}, 5 * S), "counts come before their kinds"


def test_a_phase_ends_at_the_earlier_of_its_bounds():
    """8 s of 60 s left by count, 25 s by duration."""
    assert remaining_s(STATS, {"request_count": 70, "duration_s": 45.0}, 20.0) == pytest.approx(8)
    assert remaining_s(STATS, {"request_count": 7000, "duration_s": 45.0}, 20.0) == 25
    assert remaining_s(STATS, {}, 20.0) is None


def test_an_open_loop_takes_what_its_rate_says_until_its_ceiling_is_reached():
    """40 unsent at 20/s take 2 s; at the ceiling, 50 answers in 5 s make 50 others 5 s."""
    live = {"request_count": 100, "asked_rate": 20.0}
    assert remaining_s(STATS, live, 5.0) == pytest.approx(2)
    assert remaining_s(STATS, {**live, "concurrency": 10}, 5.0) == pytest.approx(5)
    assert remaining_s(STATS, {**live, "concurrency": 11}, 5.0) == pytest.approx(2)


def test_sessions_take_as_long_as_those_before_them():
    """20 of 50 in 10 s: 30 more take 15 s, and 17.5 s with several turns, as 5 are still open."""
    live = {"session_count": 50, "sessions": 20, "concurrency": 5}
    single = msgspec.structs.replace(STATS, completed=20, failed=0)
    assert remaining_s(single, live, 10.0) == pytest.approx(15)
    assert remaining_s(STATS, live, 10.0) == pytest.approx(17.5)
    assert "done 50, sessions 20/50 |" in progress_line(STATS, live, 10 * S)


def test_the_time_left_in_grace_is_told():
    """A duration of 10 s and a grace of 30 s: at 12 s there are 28 s left."""
    live = {"duration_s": 10.0, "grace_s": 30.0}
    assert progress_line(DRAINING, live, 12 * S).endswith(" | grace 0:28 left")
    assert progress_line(DRAINING, live, 45 * S).endswith(" | grace 0:00 left")


def test_a_person_who_stops_the_run_begins_the_grace():
    """Stopped at 10 s of 60 s: requests in flight have until 40 s, or none when cancelled."""
    live = {"duration_s": 60.0, "grace_s": 30.0, "stopping": "drain"}
    assert grace_end_ns(DRAINING, live) == 40 * S
    cancelled = progress_line(DRAINING, {**live, "stopping": "cancel"}, 12 * S)
    assert cancelled.endswith(" | cancelling")


def test_requests_that_nothing_gives_up_are_waited_for():
    """A phase by count has no grace."""
    live = {"request_count": 60, "grace_s": 30.0}
    assert grace_end_ns(DRAINING, live) is None
    assert progress_line(DRAINING, live, 12 * S).endswith(" | waiting for answers")


def test_a_phase_that_is_over_promises_nothing_more():
    over = msgspec.structs.replace(DRAINING, end_ns=11 * S)
    assert progress_line(over, LIVE, 11 * S).endswith(" | 2 http_status")


def test_hours_are_told_as_hours():
    assert progress_line(STATS, {}, 3_725 * S).startswith("profiling 1:02:05 | ")


def test_a_changing_rate_is_set_against_what_was_due_lately():
    """Not the mean so far against the highest rate of all."""
    live = {"asked_rate": 100.0, "sent_rate": 12.5, "target_rate": 25.0, "sends_end_s": 14.0,
            "request_count": 900}  # fmt: skip
    stats = PhaseStats(phase="p", phase_index=0, sent=40, completed=40, start_ns=0)
    line = progress_line(stats, live, 4 * 1_000_000_000)
    assert "sent 12.5/s of 25" in line
    assert "0:10 left" in line


def test_sessions_of_one_request_are_counted_as_soon_as_requests_are():
    """Records come a little later than the counts in shared memory."""
    stats = PhaseStats(phase="p", phase_index=0, sent=40, completed=40, start_ns=0)
    live = {"session_count": 50, "sessions": 31}
    assert "sessions 40/50" in progress_line(stats, live | {"later_turns": 0}, 1_000_000_000)
    assert "sessions 31/50" in progress_line(stats, live | {"later_turns": 9}, 1_000_000_000)
