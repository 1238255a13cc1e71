"""Joules from counters that begin again at zero."""

from steelyard.domain.track.energy import EnergyCounter


def test_joules_are_counted_from_the_first_value():
    counter = EnergyCounter()
    assert counter.told(5_000_000) == 0.0
    assert counter.told(7_500_000) == 2.5
    assert counter.told(8_000_000) == 0.5
    assert counter.joules == 3.0


def test_a_counter_that_began_again_lost_nothing():
    """From 9 J to its end at 10 J, and 2 J from there."""
    counter = EnergyCounter(10_000_000)
    counter.told(9_000_000)
    assert counter.told(2_000_000) == 3.0


def test_a_counter_that_never_wraps_but_went_back_adds_nothing():
    """A driver that was loaded again counts from zero."""
    counter = EnergyCounter()
    counter.told(9_000_000)
    assert counter.told(1_000_000) == 0.0
    assert counter.told(2_000_000) == 1.0
