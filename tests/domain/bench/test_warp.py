"""Schedules under a rate that changes."""

import math
from typing import ClassVar

import numpy as np
import pytest

from steelyard.builtin.arrival.constant import ConstantArrival
from steelyard.builtin.arrival.gamma import GammaArrival
from steelyard.builtin.arrival.poisson import PoissonArrival
from steelyard.builtin.ramp.exponential import ExponentialRamp
from steelyard.builtin.ramp.linear import LinearRamp
from steelyard.builtin.ramp.poisson import PoissonRamp
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.ports import Arrival, Ramp
from steelyard.domain.bench.warp import RateSeries, WarpedArrival

RAMP_S = 20.0
RATE = 200.0
PLAN = PhasePlan(name="profiling", request_rate=RATE, smoothness=3.0)
ARRIVALS: list[type[Arrival]] = [ConstantArrival, PoissonArrival, GammaArrival]
RAMPS = [LinearRamp, ExponentialRamp, PoissonRamp]


def ramped(arrival: type[Arrival], ramp: type[Ramp]) -> WarpedArrival:
    return WarpedArrival(arrival(PLAN, 0, 42), ramp=ramp(RAMP_S, 42, 0), ramp_s=RAMP_S)


@pytest.mark.parametrize("ramp", RAMPS)
@pytest.mark.parametrize("arrival", ARRIVALS)
def test_any_slice_of_a_ramp_is_that_of_the_whole(arrival: type[Arrival], ramp: type[Ramp]) -> None:
    """Whatever blocks a worker asks for, and in which order."""
    whole = ramped(arrival, ramp).offsets_ns(0, 8_000)
    assert (np.diff(whole) >= 0).all()
    piecewise = ramped(arrival, ramp)
    for first, count in ((7_001, 3), (0, 1), (1_023, 2), (5, 4_096), (7_999, 1)):
        assert np.array_equal(piecewise.offsets_ns(first, count), whole[first : first + count])


def as_planned(arrival: type[Arrival]) -> np.ndarray:
    return arrival(PLAN, 0, 42).offsets_ns(0, 10_000)


@pytest.mark.parametrize("ramp", RAMPS)
def test_after_the_ramp_the_rate_is_the_plans(ramp: type[Ramp]) -> None:
    """Each gap is that of the schedule without a ramp, to the rounding of a nanosecond."""
    for arrival in ARRIVALS:
        plain = as_planned(arrival)
        warped = ramped(arrival, ramp).offsets_ns(0, 10_000)
        after = warped > RAMP_S * 1e9
        assert after.sum() > 1_000
        assert np.abs(np.diff(warped[after]) - np.diff(plain[after])).max() <= 1


def test_a_linear_ramp_sends_half_of_what_its_time_would() -> None:
    """At a constant 200/s that is 2,000 requests in 20 s, the rate at 5 s being 50/s."""
    offsets = ramped(ConstantArrival, LinearRamp).offsets_ns(0, 10_000) / 1e9
    assert np.searchsorted(offsets, RAMP_S) == pytest.approx(2_000, abs=1)
    around = np.searchsorted(offsets, [4.0, 6.0])
    assert (around[1] - around[0]) / 2.0 == pytest.approx(50, abs=1)


class Even:
    """An arrival of equal gaps at the plan's rate."""

    rate: ClassVar[float] = RATE

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        return np.rint(np.arange(first, first + count) * (1e9 / self.rate)).astype(np.int64)


POINTS = [(0.0, 50.0), (10.0, 200.0), (20.0, 200.0), (30.0, 100.0)]


def test_a_series_runs_straight_from_point_to_point() -> None:
    """The counts by each second are the integral of the rates: 1,250 by 10 s, 3,250 by 20 s."""
    offsets = WarpedArrival(Even(), series=RateSeries(POINTS)).offsets_ns(0, 8_000) / 1e9
    by = np.searchsorted(offsets, [5.0, 10.0, 20.0, 30.0, 40.0])
    assert by == pytest.approx([437.5, 1_250, 3_250, 4_750, 5_750], abs=1)


def test_a_series_stays_at_its_first_rate_until_its_first_point() -> None:
    """And at its last one after the last."""
    series = RateSeries([(10.0, 100.0), (20.0, 200.0)])
    assert (series.first, series.highest) == (100.0, 200.0)
    assert series.elapsed_s(np.array([0.0, 5.0, 12.5, 13.5])) == pytest.approx([0, 10, 20, 21])


def test_a_ramp_before_a_series_ends_at_the_series_first_rate() -> None:
    """Half of 50/s for 4 s, then the series from its beginning."""
    offsets = WarpedArrival(
        Even(), ramp=LinearRamp(4.0, 1, 0), ramp_s=4.0, series=RateSeries(POINTS)
    ).offsets_ns(0, 8_000)
    by = np.searchsorted(offsets / 1e9, [4.0, 9.0, 14.0, 24.0])
    assert by == pytest.approx([100, 537.5, 1_350, 3_350], abs=1)


def kolmogorov_p(uniform: np.ndarray) -> float:
    """Return the asymptotic p of the Kolmogorov-Smirnov test for numbers even on 0 to 1.

    Kolmogorov's series with Stephens' correction for finite n (JASA 69, 1974).
    """
    n = len(uniform)
    ordered = np.sort(uniform)
    steps = np.arange(n + 1) / n
    distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    x = distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, p))


def exponential_p(offsets_ns: np.ndarray) -> float:
    """Return the p of the hypothesis that the gaps are exponential with the plan's mean."""
    return kolmogorov_p(1.0 - np.exp(-np.diff(offsets_ns) / 1e9 * RATE))


def test_the_test_of_arrivals_can_fail() -> None:
    """Even and gamma gaps are not taken for Poisson's, uniform numbers are for uniform."""
    assert kolmogorov_p(np.random.default_rng(5).random(2_000)) > 0.01
    assert exponential_p(ConstantArrival(PLAN, 0, 42).offsets_ns(0, 2_000)) < 1e-6
    assert exponential_p(GammaArrival(PLAN, 0, 42).offsets_ns(0, 2_000)) < 1e-6


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_poisson_arrivals_are_those_of_a_poisson_process(seed: int) -> None:
    """Kolmogorov-Smirnov, p > 0.01."""
    assert exponential_p(PoissonArrival(PLAN, 0, seed).offsets_ns(0, 20_000)) > 0.01


@pytest.mark.parametrize("ramp", [LinearRamp, ExponentialRamp])
def test_a_ramped_poisson_process_is_one_in_its_own_time(ramp: type[Ramp]) -> None:
    """Warped back by the integral of the rate, and only then, its gaps are exponential."""
    order = 2 if ramp is LinearRamp else 3
    offsets = ramped(PoissonArrival, ramp).offsets_ns(0, 4_000) / 1e9
    within = np.minimum(offsets, RAMP_S) ** order / (order * RAMP_S ** (order - 1))
    worth_ns = (within + np.maximum(offsets - RAMP_S, 0.0)) * 1e9
    assert exponential_p(worth_ns) > 0.01
    assert exponential_p(offsets * 1e9) < 1e-3
