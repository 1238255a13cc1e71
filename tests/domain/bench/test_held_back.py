"""Which limit an open loop reached, told from its records in any batches."""

import numpy as np
import pytest

from steelyard.domain.bench.held_back import HeldBack
from steelyard.domain.bench.plan import PhasePlan
from steelyard.testing.journals import answered, refused


def rated(**limits):
    return PhasePlan(name="profiling", request_rate=100.0, **limits)


def reached(rows, phase, batches=1):
    held = HeldBack(phase)
    for part in np.array_split(np.concatenate(rows), batches):
        held.fold(part)
    return held.reached()


def every(step_ms, count, ttft_ms, worker=0, rest_ms=0):
    """`count` requests, one each `step_ms`, with their first token and then two more."""
    rows = [
        answered(i, start_ms=i * step_ms, ttft_ms=ttft_ms, itl_ms=rest_ms / 2, tokens=3)
        for i in range(count)
    ]
    for row in rows:
        row["worker_id"] = worker
    return rows


@pytest.mark.parametrize("batches", [1, 5, 100])
def test_a_ceiling_that_was_never_reached_held_nothing_back(batches):
    """One each 10 ms that takes 35 ms: 4 at once."""
    rows = every(10, 100, 35)
    assert reached(rows, rated(concurrency=5), batches) == ()
    assert reached(rows, rated(concurrency=4), batches) == ("--concurrency",)


def test_slots_that_are_left_and_taken_at_once_are_no_more_than_there_are():
    """Each sent at the very nanosecond at which the one before ended."""
    assert reached(every(10, 50, 10), rated(concurrency=2)) == ()
    assert reached(every(10, 50, 10), rated(concurrency=1)) == ("--concurrency",)


def test_a_prefill_is_over_with_the_first_token():
    """First token after 15 ms, the end after 55 ms: 2 prefills and 6 requests at once."""
    rows = every(10, 100, 15, rest_ms=40)
    limits = {"concurrency": 7, "prefill_concurrency": 2}
    assert reached(rows, rated(**limits)) == ("--prefill-concurrency",)
    assert reached(rows, rated(concurrency=6, prefill_concurrency=3)) == ("--concurrency",)


def test_each_worker_has_its_share_of_a_limit():
    """Of 5 slots one of two workers has 3, and used them; the other one never more than one."""
    rows = [*every(10, 50, 25, worker=0), *every(10, 50, 5, worker=1)]
    assert reached(rows, rated(concurrency=5)) == ("--concurrency",)
    assert reached(rows, rated(concurrency=8)) == ()


def test_what_was_never_sent_is_not_in_flight():
    rows = [refused(i, start_ms=0, start_ns=-1, end_ns=-1) for i in range(9)]
    assert reached(rows, rated(concurrency=2)) == ()
