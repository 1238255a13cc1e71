"""Metrics of a whole run, from totals that state their arithmetic."""

import pytest

from steelyard.builtin.metric.http import HttpConnectionReused, HttpRetriedCount
from steelyard.builtin.metric.in_flight import (
    DecodeConcurrency,
    EffectiveConcurrency,
    PrefillConcurrency,
    TokensInFlight,
)
from steelyard.builtin.metric.instrument import CoalescedShare
from steelyard.builtin.metric.run import (
    BenchmarkDuration,
    CancelledRequestCount,
    ErrorRate,
    ErrorRequestCount,
    Goodput,
    GoodRequestCount,
    GoodRequestFraction,
    InputTokenThroughput,
    OslMismatchCount,
    OutputTokenThroughput,
    RequestCount,
    RequestThroughput,
    TotalTokenThroughput,
)
from steelyard.builtin.metric.usage import OverallCacheReadShare

# 60 answered, 15 failed, 5 given up in 4 s; 12 request-seconds in flight, 3 of them without
# content, holding 2,000 token-seconds. 76 were sent, 4 of them twice, 57 over a connection used
# before.
TOTALS = {
    "requests": 80.0,
    "succeeded": 60.0,
    "failed": 15.0,
    "cancelled": 5.0,
    "sent": 76.0,
    "reused": 57.0,
    "retried": 4.0,
    "busy_s": 12.0,
    "prefill_s": 3.0,
    "decode_s": 9.0,
    "token_s": 2000.0,
    "chunks": 400.0,
    "coalesced_events": 8.0,
    "cached_tokens": 1500.0,
    "cacheable_tokens": 6000.0,
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
        (GoodRequestFraction, 100 * 45 / 75),
        (InputTokenThroughput, 6000 / 4),
        (EffectiveConcurrency, 12 / 4),
        (PrefillConcurrency, 3 / 4),
        (DecodeConcurrency, 9 / 4),
        (TokensInFlight, 2000 / 4),
        (CoalescedShare, 100 * 8 / 400),
        (HttpConnectionReused, 100 * 57 / 76),
        (HttpRetriedCount, 4),
        (OverallCacheReadShare, 100 * 1500 / 6000),
        (OslMismatchCount, 6),
        (BenchmarkDuration, 4),
    ],
)
def test_each_is_the_quotient_it_says(metric, expected):
    assert metric().value(TOTALS) == expected


def test_nothing_is_claimed_that_was_not_counted():
    """No tokens counted, no objectives, nothing sent: None, never 0."""
    few = {"succeeded": 3.0, "failed": 0.0, "busy_s": 1.0, "duration_s": 2.0}
    silent = (
        OutputTokenThroughput, TotalTokenThroughput, InputTokenThroughput, Goodput,
        GoodRequestFraction, OslMismatchCount, TokensInFlight, OverallCacheReadShare,
        CoalescedShare, HttpConnectionReused,
    )  # fmt: skip
    for metric in silent:
        assert metric().value(few) is None
    assert TotalTokenThroughput().value(few | {"output_tokens": 9.0}) is None
    assert RequestThroughput().value({"succeeded": 0.0}) is None
