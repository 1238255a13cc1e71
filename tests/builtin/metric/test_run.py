"""Metrics of a whole run, from totals that state their arithmetic."""

import pytest

from steelyard.builtin.metric.run import (
    BenchmarkDuration,
    CancelledRequestCount,
    EffectiveConcurrency,
    ErrorRate,
    ErrorRequestCount,
    Goodput,
    GoodRequestCount,
    OslMismatchCount,
    OutputTokenThroughput,
    RequestCount,
    RequestThroughput,
    TotalTokenThroughput,
)

# 60 answered, 15 failed, 5 given up in 4 s; 12 request-seconds in flight.
TOTALS = {
    "requests": 80.0,
    "succeeded": 60.0,
    "failed": 15.0,
    "cancelled": 5.0,
    "busy_s": 12.0,
    "duration_s": 4.0,
    "input_tokens": 6000.0,
    "output_tokens": 800.0,
    "good": 45.0,
    "osl_compared": 60.0,
    "osl_mismatched": 6.0,
}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (RequestThroughput, 60 / 4),
        (OutputTokenThroughput, 800 / 4),
        (TotalTokenThroughput, 6800 / 4),
        (RequestCount, 60),
        (ErrorRequestCount, 15),
        (CancelledRequestCount, 5),
        (ErrorRate, 100 * 15 / 75),
        (GoodRequestCount, 45),
        (Goodput, 45 / 4),
        (EffectiveConcurrency, 12 / 4),
        (OslMismatchCount, 6),
        (BenchmarkDuration, 4),
    ],
)
def test_each_is_the_quotient_it_says(metric, expected):
    assert metric().value(TOTALS) == expected


def test_nothing_is_claimed_that_was_not_counted():
    """No tokens counted, no objectives, nothing sent: None, never 0."""
    few = {"succeeded": 3.0, "failed": 0.0, "busy_s": 1.0, "duration_s": 2.0}
    for metric in (OutputTokenThroughput, TotalTokenThroughput, Goodput, OslMismatchCount):
        assert metric().value(few) is None
    assert TotalTokenThroughput().value(few | {"output_tokens": 9.0}) is None
    assert RequestThroughput().value({"succeeded": 0.0}) is None
