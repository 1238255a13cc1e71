"""Statistics of many groups in one go, against those of each group by itself."""

import math

import numpy as np
import pytest

from steelyard.domain.bench.grouped import grouped_distributions
from steelyard.domain.bench.selection import Distribution, Moments, distribution


def alone(values, infinite):
    moments = Moments()
    if values.size:
        moments.add(values)
    return distribution(moments, lambda: [values], infinite)


def test_each_group_has_the_statistics_of_its_own_values():
    """40 groups of 0 to 60 values far from zero, some with infinite ones, in any order."""
    rng = np.random.default_rng(8)
    sizes = rng.integers(0, 60, 40)
    groups = rng.permutation(np.repeat(np.arange(40), sizes))
    values = 1e9 + rng.lognormal(2, 2, groups.size)
    infinite = rng.integers(0, 4, 40) * rng.integers(0, 2, 40)
    found = grouped_distributions(values, groups, infinite)
    for number, got in enumerate(found):
        want = alone(values[groups == number], int(infinite[number]))
        assert (got.count, got.min, got.max) == (want.count, want.min, want.max)
        assert got.avg == pytest.approx(want.avg, rel=1e-12)
        assert (got.std is None) == (want.std is None)
        assert (got.std or 0.0) == pytest.approx(want.std or 0.0, rel=1e-6)
        assert got.percentiles == pytest.approx(want.percentiles, rel=1e-12)


def test_what_is_no_number_is_no_value():
    """Of 3, nothing and 5 in one group, two values remain; the other group has none."""
    values, groups = np.array([3.0, math.nan, 5.0, math.nan]), np.array([1, 1, 1, 0])
    empty, pair = grouped_distributions(values, groups, np.zeros(2, dtype=np.int64))
    assert empty == Distribution()
    assert (pair.count, pair.avg, pair.percentiles[50]) == (2, 4, 4)


def test_groups_of_failures_alone_are_infinite():
    none = np.empty(0)
    first, second = grouped_distributions(none, none.astype(np.int64), np.array([0, 2]))
    assert first == Distribution()
    assert (second.count, second.min, second.percentiles[1], second.std) == (
        2, math.inf, math.inf, None,
    )  # fmt: skip
