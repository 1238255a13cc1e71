"""Gini's coefficient and Jain's index are what their definitions say."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.domain.fleet.scheduling.measures import gini, jain

# A machine that does much else at once is no fault of what is tested.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHARES = st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=40)


def gini_by_definition(values):
    """Half of the mean absolute difference of all pairs over the mean."""
    count = len(values)
    apart = sum(abs(one - other) for one in values for other in values) / count**2
    return apart / 2 / (sum(values) / count)


def jain_by_definition(values):
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@BUSY
@given(SHARES.map(lambda values: [*values, 1.0]))
def test_both_are_their_definitions(values):
    assert gini(values) == pytest.approx(gini_by_definition(values), abs=1e-9)
    assert jain(values) == pytest.approx(jain_by_definition(values), rel=1e-9)


@BUSY
@given(SHARES, st.floats(1e-6, 1e6), st.randoms())
def test_neither_depends_on_the_unit_or_the_order(values, factor, rng):
    scaled = [value * factor for value in values]
    rng.shuffle(scaled)
    assert gini(scaled) == pytest.approx(gini(values), abs=1e-6)
    assert jain(scaled) == pytest.approx(jain(values), abs=1e-6)


@BUSY
@given(SHARES)
def test_both_stay_within_their_bounds(values):
    count = len(values)
    assert -1e-12 <= gini(values) <= 1 - 1 / count + 1e-9
    assert 1 / count - 1e-9 <= jain(values) <= 1 + 1e-9


@BUSY
@given(st.integers(1, 50), st.floats(1e-300, 1e300))
def test_equal_shares_are_even_and_one_share_is_as_uneven_as_can_be(count, value):
    assert gini([value] * count) == pytest.approx(0, abs=1e-9)
    assert jain([value] * count) == pytest.approx(1)
    alone = [value] + [0.0] * (count - 1)
    assert gini(alone) == pytest.approx(1 - 1 / count)
    assert jain(alone) == pytest.approx(1 / count)


@BUSY
@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=20))
def test_a_gift_from_the_richest_to_the_poorest_makes_it_more_even(values):
    values = sorted(values)
    gift = (values[-1] - values[0]) / 4
    fairer = [values[0] + gift, *values[1:-1], values[-1] - gift]
    assert gini(fairer) <= gini(values) + 1e-12
    assert jain(fairer) >= jain(values) - 1e-12


@pytest.mark.parametrize(
    ("values", "expected_gini", "expected_jain"),
    [
        ([], 0.0, 1.0),
        ([0.0, 0.0], 0.0, 1.0),
        ([1, 2, 3], 2 / 9, 36 / 42),  # (0*2 + 1*4 + 2*2) / (2 * 9 * 2); (1+2+3)^2 / (3 * 14)
        ([1, 3], 0.25, 16 / 20),
    ],
)
def test_by_hand(values, expected_gini, expected_jain):
    assert gini(values) == pytest.approx(expected_gini)
    assert jain(values) == pytest.approx(expected_jain)
