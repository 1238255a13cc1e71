"""The release of a burst."""

from steelyard.builtin.metric.burst import BurstSkew


def test_the_skew_is_in_milliseconds():
    assert BurstSkew().value({"burst_skew_s": 0.0015}) == 1.5


def test_without_a_release_there_is_none():
    assert BurstSkew().value({"requests": 3.0}) is None
