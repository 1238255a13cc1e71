"""Order statistics without holding all values, against numpy holding them all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench import selection
from steelyard.domain.bench.selection import Distribution, Moments, distribution, order_statistics
from steelyard.domain.bench.summary import PERCENTILES

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(
    lambda x: abs(x) < 1e150
)


def told(values, parts=3, infinite=0):
    array = np.array(values, dtype=np.float64)
    pieces = [piece for piece in np.array_split(array, parts) if piece.size]
    moments = Moments()
    for piece in pieces:
        moments.add(piece)
    return distribution(moments, lambda: pieces, infinite)


@given(values=st.lists(numbers, min_size=1, max_size=200), parts=st.integers(1, 5))
def test_percentiles_are_those_of_numpy_to_the_last_bit_of_interpolation(values, parts):
    found = told(values, parts)
    for p in PERCENTILES:
        truth = float(np.percentile(np.array(values), p))
        assert math.isclose(found.percentiles[p], truth, rel_tol=1e-9, abs_tol=1e-300), p
    assert (found.count, found.min, found.max) == (len(values), min(values), max(values))


@given(
    values=st.lists(st.sampled_from([-3.0, -0.0, 0.0, 1e-300, 2.5, 7e9]), min_size=1, max_size=60),
    limit=st.integers(1, 8),
)
def test_a_bin_with_more_than_may_be_held_is_divided_again(values, limit):
    """With room for a handful of values, every rank is still exact."""
    array = np.array(values)
    before = selection.KEPT_MAX
    selection.KEPT_MAX = limit
    try:
        got = order_statistics(
            lambda: [array[:7], array[7:]], min(values), max(values), list(range(len(values)))
        )
    finally:
        selection.KEPT_MAX = before
    assert [got[rank] for rank in range(len(values))] == sorted(values)


@pytest.mark.parametrize("seed", range(4))
def test_a_long_tail_and_many_values_are_no_different(seed, monkeypatch):
    """300,000 values over nine decades, a third of them equal, with room for 2,000."""
    monkeypatch.setattr(selection, "KEPT_MAX", 2_000)
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(300_000) < 1 / 3, 20.0, rng.lognormal(2, 3, 300_000))
    found = told(values, parts=40)
    for p in PERCENTILES:
        assert found.percentiles[p] == pytest.approx(np.percentile(values, p), rel=1e-12), p
    assert found.avg == pytest.approx(values.mean(), rel=1e-12)
    assert found.std == pytest.approx(values.std(ddof=1), rel=1e-12)


def test_the_parts_of_a_column_come_to_the_same_as_the_whole():
    """2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares around it 32, over n - 1 = 7."""
    values = [2.0, 4, 4, 4, 5, 5, 7, 9]
    for parts in (1, 2, 8):
        found = told(values, parts)
        assert found.avg == pytest.approx(5)
        assert found.std == pytest.approx(math.sqrt(32 / 7))


def test_percentiles_that_fall_into_failures_are_infinite():
    """Of 10 requests 7 took 1..7 ms and 3 never ended: p50 is at rank 4.5, p75 at 6.75."""
    found = told([1.0, 2, 3, 4, 5, 6, 7], infinite=3)
    assert found.count == 10
    assert found.percentiles[50] == pytest.approx(5.5)
    assert found.percentiles[75] == found.percentiles[99] == math.inf
    assert (found.min, found.max, found.avg, found.std) == (1, math.inf, math.inf, None)


def test_a_rank_that_is_met_exactly_takes_nothing_of_the_infinity_above_it():
    """4 of 5: p75 is rank 3, the last finite one."""
    assert told([1.0, 2, 3, 4], infinite=1).percentiles[75] == 4


def test_only_failures_are_infinite_from_the_least_on():
    found = told([], infinite=2)
    assert found.count == 2
    assert found.min == found.percentiles[1] == math.inf
    assert told([]) == Distribution()


def test_one_value_has_no_deviation():
    found = told([3.0])
    assert (found.std, found.percentiles[1], found.percentiles[99]) == (None, 3, 3)
