"""Who counts, and how stamps bound what is measured."""

import numpy as np
import pytest

from steelyard.domain.bench.metrics import (
    MetricFlags,
    MetricGroup,
    cancelled,
    counted_gaps_ns,
    elapsed_ms,
    failed,
    first_output_stamp_width_ms,
    first_token_stamp_width_ms,
    flags_of,
    gaps_per_row,
    group_of,
    ratio,
    succeeded,
)
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.testing.journals import T0_NS, answered, refused

MS = 1_000_000


def rows(*given: np.ndarray) -> np.ndarray:
    return np.concatenate(given)


def test_a_request_is_one_of_answered_failed_and_cancelled():
    batch = rows(
        answered(0, start_ms=0, ttft_ms=5),
        refused(1, start_ms=0),
        refused(2, start_ms=0, kind=ErrorKind.CANCELLED),
        answered(3, start_ms=0, ttft_ms=5, cancelled=True),
    )
    assert succeeded(batch).tolist() == [True, False, False, False]
    assert failed(batch).tolist() == [False, True, False, False]
    assert cancelled(batch).tolist() == [False, False, True, True]


def test_what_did_not_happen_has_no_time():
    batch = rows(answered(0, start_ms=10, ttft_ms=2.5), refused(1, start_ms=0))
    times = elapsed_ms(batch, "start_ns", "first_token_ns")
    assert times[0] == 2.5
    assert np.isnan(times[1])


def test_division_by_nothing_is_no_value():
    result = ratio(np.array([6.0, 6.0, 6.0]), np.array([3.0, 0.0, -1.0]))
    assert result[0] == 2
    assert np.isnan(result[1:]).all()


def test_an_unmerged_first_content_is_uncertain_by_the_send_only():
    """Sent within 40 us: the request left somewhere in them."""
    batch = answered(0, start_ms=0, ttft_ms=5, itl_ms=1, tokens=3, sent_ns=T0_NS + 40_000)
    assert first_token_stamp_width_ms(batch)[0] == pytest.approx(0.04)


def test_a_first_content_that_shared_its_read_came_after_the_read_before():
    """First and second content in one read at 5 ms, the read before at 3 ms: 2 ms of doubt."""
    batch = answered(0, start_ms=0, ttft_ms=5, itl_ms=0, tokens=2, stamp_lower_ns=T0_NS + 3 * MS)
    assert first_token_stamp_width_ms(batch)[0] == pytest.approx(2.0)


def test_stamps_can_overstate_a_time_by_no_more_than_itself():
    """Sent within 1 ms, all read at 3 ms and nothing before: 3 ms of doubt, not 4."""
    times = {"sent_ns": T0_NS + MS, "stamp_lower_ns": T0_NS}
    batch = answered(0, start_ms=0, ttft_ms=3, tokens=1, **times)
    assert first_token_stamp_width_ms(batch)[0] == pytest.approx(3.0)


def test_a_merged_read_without_a_lower_bound_is_not_bounded():
    batch = answered(0, start_ms=0, ttft_ms=5, tokens=1, stamp_lower_ns=MISSING)
    assert np.isnan(first_token_stamp_width_ms(batch)[0])


def test_the_first_output_is_as_uncertain_as_the_first_content_that_it_is():
    batch = answered(0, start_ms=0, ttft_ms=5, itl_ms=0, tokens=2, stamp_lower_ns=T0_NS + 3 * MS)
    assert first_output_stamp_width_ms(batch)[0] == pytest.approx(2.0)


def test_an_output_after_reasoning_came_after_its_first_word_at_least():
    """Reasoning at 5 ms, output at 8: 3 ms of doubt where reads were merged, none else."""
    times = {"first_output_ns": T0_NS + 8 * MS, "sent_ns": T0_NS + 40_000}
    alone = answered(0, start_ms=0, ttft_ms=5, itl_ms=1, tokens=6, **times)
    merged = answered(0, start_ms=0, ttft_ms=5, itl_ms=1, tokens=6, coalesced_events=1, **times)
    assert first_output_stamp_width_ms(alone)[0] == pytest.approx(0.04)
    assert first_output_stamp_width_ms(merged)[0] == pytest.approx(3.04)


def test_gaps_go_to_the_rows_that_made_them():
    """3, 1 and 2 chunks make 2, 0 and 1 gaps; the second of the first row was inside one read."""
    batch = rows(*(answered(i, start_ms=0, ttft_ms=1, tokens=n) for i, n in enumerate((3, 1, 2))))
    assert gaps_per_row(batch).tolist() == [2, 0, 1]
    gaps = np.array([7, MISSING, 9])
    assert counted_gaps_ns(batch, gaps, np.array([True, True, True])).tolist() == [7, 9]
    assert counted_gaps_ns(batch, gaps, np.array([True, True, False])).tolist() == [7]


def test_gaps_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="rows have 1 gaps, got 2"):
        counted_gaps_ns(
            answered(0, start_ms=0, ttft_ms=1, tokens=2), np.array([1, 2]), np.array([True])
        )


def test_a_metric_without_flags_or_group_is_a_plain_one():
    assert flags_of(object()) is MetricFlags.NONE
    assert group_of(object()) == MetricGroup.REQUESTS
