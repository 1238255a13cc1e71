"""Arrival schedules are pure functions of seed, phase and index."""

import numpy as np
import pytest

from steelyard.domain.bench.arrival import (
    BLOCK,
    STREAM_ARRIVAL,
    GapSchedule,
    constant_offsets_ns,
    generator,
)


def schedule(seed: int = 42, phase: int = 0) -> GapSchedule:
    return GapSchedule(
        lambda block: generator(seed, STREAM_ARRIVAL, phase, block).exponential(0.01, BLOCK)
    )


@pytest.mark.parametrize("first", [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 17])
def test_any_slice_equals_the_whole_schedule(first: int) -> None:
    """A worker that starts at index `first` computes what the first worker computes."""
    whole = schedule().offsets_ns(0, 8 * BLOCK)
    assert np.array_equal(schedule().offsets_ns(first, 2000), whole[first : first + 2000])


def test_offsets_never_go_back_and_start_at_zero() -> None:
    """Index 0 is due at the phase's start; no index is due before the one ahead of it."""
    offsets = schedule().offsets_ns(0, 5000)
    assert offsets[0] == 0
    assert (np.diff(offsets) >= 0).all()


def test_seeds_and_phases_draw_apart() -> None:
    """Another seed or phase gives another schedule."""
    one = schedule(1, 0).offsets_ns(0, 100)
    assert not np.array_equal(one, schedule(2, 0).offsets_ns(0, 100))
    assert not np.array_equal(one, schedule(1, 1).offsets_ns(0, 100))


def test_constant_rate_does_not_drift() -> None:
    """At 3/s index 3,000,000 is due after exactly 1,000,000 s."""
    assert constant_offsets_ns(3.0, 3_000_000, 1)[0] == 1_000_000 * 1_000_000_000
