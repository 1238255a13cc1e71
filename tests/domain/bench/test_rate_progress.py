"""How a changing rate is kept right now."""

import pytest

from steelyard.builtin.arrival.constant import ConstantArrival
from steelyard.builtin.ramp.linear import LinearRamp
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.rate_progress import RateProgress
from steelyard.domain.bench.warp import RateSeries, WarpedArrival


def ramped(rate, ramp_s):
    arrival = ConstantArrival(PhasePlan(name="p", request_rate=rate), 0, 1)
    return WarpedArrival(arrival, ramp=LinearRamp(ramp_s, 1, 0), ramp_s=ramp_s)


def test_lately_sent_is_set_against_lately_due():
    """To 100/s within 20 s: at 10 s 250 are due, of which 187.5 in the last 5 s, 37.5/s."""
    rates = RateProgress(ramped(100, 20), 100, None)
    for second in range(1, 11):
        known = rates.at(second, round(2.5 * second**2), over=False)
    assert known["target_rate"] == pytest.approx(187.5 / 5, rel=1e-6)
    assert known["sent_rate"] == pytest.approx((250 - 62) / 5)
    assert known["sends_end_s"] is None


def test_what_is_held_back_now_shows_though_the_mean_is_fine():
    """Ten seconds as asked, then nothing for five."""
    rates = RateProgress(ramped(100, 2), 100, None)
    for second in range(1, 11):
        rates.at(second, 100 * (second - 1), over=False)
    for second in range(11, 16):
        known = rates.at(second, 900, over=False)
    assert (known["sent_rate"], known["target_rate"]) == (0, pytest.approx(100))


def test_the_end_of_a_count_is_where_the_schedule_has_it():
    """100 during a ramp of 2 s, then 100 a second: the 300th is due at 4 s."""
    rates = RateProgress(ramped(100, 2), 100, 300)
    assert rates.at(1, 25, over=False)["sends_end_s"] == pytest.approx(4)


def test_when_all_is_sent_both_are_of_the_whole_phase():
    rates = RateProgress(ramped(100, 2), 100, 300)
    rates.at(3.9, 290, over=False)
    known = rates.at(4.0, 300, over=True)
    assert (known["sent_rate"], known["target_rate"]) == (75, pytest.approx(75))


def test_a_series_has_the_rate_of_the_moment():
    """From 10/s at 0 to 30/s at 10 s: within the first 5 s 75 are due."""
    series = RateSeries([(0.0, 10.0), (10.0, 30.0)])
    arrival = ConstantArrival(PhasePlan(name="p", request_rate=30.0), 0, 1)
    rates = RateProgress(WarpedArrival(arrival, series=series), 30.0, None)
    assert rates.at(5.0, 75, over=False)["target_rate"] == pytest.approx(15)
