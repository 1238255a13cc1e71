"""Which conversations of a trace are replayed, and when."""

import numpy as np
import pytest

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import SchedulePlan
from steelyard.domain.bench.trace_times import TraceTimes, time_mistake
from steelyard.kernel.errors import UsageError


def at(*times: float | None) -> Conversation:
    return Conversation(id="c", turns=tuple(Turn(text="x", timestamp_ms=time) for time in times))


def schedule_of(times: list[float], **plan: float | bool) -> tuple[list[int], list[int]]:
    collected = TraceTimes(SchedulePlan(**plan))  # type: ignore[arg-type]
    for time in times:
        collected.kept(at(time))
    offsets, order = collected.schedule()
    assert offsets.dtype == np.int64
    return offsets.tolist(), order.tolist()


def test_the_first_time_is_the_start_when_offset_automatically() -> None:
    """To the microsecond; the order of the file does not matter."""
    assert schedule_of([1500.25, 1000.0, 1000.5], auto_offset=True) == (
        [0, 500_000, 500_250_000],
        [1, 2, 0],
    )


def test_a_start_offset_is_the_start_and_leaves_out_what_begins_earlier() -> None:
    """Both bounds are included."""
    assert schedule_of([5, 10, 12, 20, 21], start_ms=10, end_ms=20) == (
        [0, 2_000_000, 10_000_000],
        [0, 1, 2],
    )


def test_without_any_offset_times_count_from_zero() -> None:
    """As they stand in the trace."""
    assert schedule_of([5, 7]) == ([5_000_000, 7_000_000], [0, 1])


def test_equal_times_keep_the_order_of_the_file() -> None:
    """A burst is sent in the order in which it was written."""
    assert schedule_of([3, 1, 1, 1], auto_offset=True)[1] == [1, 2, 3, 0]


def test_turns_behind_the_end_are_left_out() -> None:
    """The conversation itself stays, up to them; a turn without a time follows the one before."""
    collected = TraceTimes(SchedulePlan(end_ms=10))
    kept = collected.kept(at(1, None, 10, 11))
    assert kept is not None
    assert [turn.timestamp_ms for turn in kept.turns] == [1, None, 10]


def test_times_that_cannot_be_replayed_are_named_by_their_turn() -> None:
    """The first must be there, and none may run back."""
    assert time_mistake(at(1, None, 2).turns) is None
    assert time_mistake(at(None, 2).turns) == (0, "no timestamp")
    assert time_mistake(at(1, 5, None, 4).turns) == (3, "the timestamp 4 after 5")
    with pytest.raises(ValueError, match=r"conversation 'c' has the timestamp 2 after 3 in turn 1"):
        TraceTimes(SchedulePlan()).kept(at(3, 2))


def test_a_trace_that_would_never_begin_or_end_is_refused() -> None:
    """Times since 1970 are replayed from the first one, not from 1970; nanoseconds are noticed."""
    now_ms = 1_790_000_000_000.0
    assert schedule_of([now_ms, now_ms + 1], auto_offset=True)[0] == [0, 1_000_000]
    with pytest.raises(UsageError, match="due more than a day after"):
        schedule_of([now_ms, now_ms + 1])
    with pytest.raises(UsageError, match="longer than a year"):
        schedule_of([now_ms * 1e6, (now_ms + 60_000) * 1e6], auto_offset=True)
