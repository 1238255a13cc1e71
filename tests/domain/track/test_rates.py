"""Rates from counters, and what must stay rare."""

from steelyard.domain.track.rates import Rarely, Rates

S = 1_000_000_000


def test_a_rate_is_the_growth_over_the_time_between():
    rates: Rates[str] = Rates()
    assert rates.per_s({"a": 100.0}, 1 * S) == {}
    assert rates.per_s({"a": 150.0, "b": 7.0}, 3 * S) == {"a": 25.0}
    assert rates.per_s({"a": 150.0, "b": 8.0}, 4 * S) == {"a": 0.0, "b": 1.0}


def test_a_counter_that_went_back_has_no_rate_once():
    rates: Rates[str] = Rates()
    rates.per_s({"a": 100.0}, 0)
    assert rates.per_s({"a": 5.0}, S) == {}
    assert rates.per_s({"a": 6.0}, 2 * S) == {"a": 1.0}


def test_the_same_moment_has_no_rate():
    rates: Rates[str] = Rates()
    rates.per_s({"a": 1.0}, S)
    assert rates.per_s({"a": 2.0}, S) == {}


def test_what_is_costly_waits_until_it_is_a_small_share():
    """20 ms at a share of 1 % are due again 2 s later."""
    rarely = Rarely(0.01)
    assert rarely.is_due(0)
    rarely.done(0, S // 50)
    assert not rarely.is_due(S // 50 + 2 * S - 1)
    assert rarely.is_due(S // 50 + 2 * S)


def test_what_is_cheap_waits_for_its_least_time():
    rarely = Rarely(0.5, at_least_s=30)
    rarely.done(0, 1)
    assert not rarely.is_due(29 * S)
    assert rarely.is_due(30 * S + 1)
