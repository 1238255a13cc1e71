"""Latencies, computed by hand from stamps."""

import numpy as np
import pytest

from steelyard.builtin.metric.latency import (
    InterChunkLatency,
    InterTokenLatency,
    RequestLatency,
    RequestLatencyIntended,
    TimeToFirstOutputToken,
    TimeToFirstOutputTokenIntended,
    TimeToFirstToken,
    TimeToFirstTokenIntended,
    TimeToSecondToken,
)
from steelyard.domain.bench.records import MISSING
from steelyard.testing.journals import T0_NS, answered, refused

MS = 1_000_000

# Meant for 100 ms, sent at 103; contents at 123, 128, 133, 138 ms: TTFT 20, ITL 5, latency 35.
ROW = answered(0, start_ms=103, ttft_ms=20, itl_ms=5, tokens=4, lag_ms=3)


@pytest.mark.parametrize(
    ("metric", "expected_ms"),
    [
        (TimeToFirstToken, 20),
        (TimeToFirstTokenIntended, 23),
        (TimeToSecondToken, 5),
        (TimeToFirstOutputToken, 20),
        (TimeToFirstOutputTokenIntended, 23),
        (InterTokenLatency, 5),
        (RequestLatency, 35),
        (RequestLatencyIntended, 38),
    ],
)
def test_each_latency_is_the_difference_it_says(metric, expected_ms):
    assert metric().values(ROW).tolist() == [expected_ms]


def test_several_tokens_a_chunk_do_not_slow_the_tokens():
    """8 tokens in 4 chunks of 2, first chunk 2 of them: 15 ms for 6 tokens is 2.5 ms each."""
    row = ROW.copy()
    row["output_tokens"], row["first_chunk_tokens"] = 8, 2
    assert InterTokenLatency().values(row).tolist() == [2.5]


def test_what_follows_the_last_token_is_no_pace_of_tokens():
    row = ROW.copy()
    row["end_ns"] += 400 * MS
    assert InterTokenLatency().values(row).tolist() == [5]
    assert RequestLatency().values(row).tolist() == [435]


@pytest.mark.parametrize("tokens", [1, MISSING])
def test_an_answer_without_later_or_counted_tokens_has_no_pace(tokens):
    row = ROW.copy()
    row["output_tokens"] = tokens
    assert np.isnan(InterTokenLatency().values(row)).all()


def test_tokens_of_one_read_are_not_zero_apart():
    """Their one stamp says nothing of the time between them."""
    row = answered(0, start_ms=0, ttft_ms=20, itl_ms=0, tokens=4)
    assert np.isnan(TimeToSecondToken().values(row)).all()
    assert np.isnan(InterTokenLatency().values(row)).all()


def test_reasoning_delays_the_first_output_token_only():
    row = answered(0, start_ms=0, ttft_ms=10, first_output_ns=T0_NS + 70 * MS)
    assert TimeToFirstToken().values(row).tolist() == [10]
    assert TimeToFirstOutputToken().values(row).tolist() == [70]


def test_a_response_that_was_not_streamed_has_a_latency_and_no_first_token():
    row = refused(0, start_ms=0, after_ms=12, error_kind=0, status=200)
    assert np.isnan(TimeToFirstToken().values(row)).all()
    assert RequestLatency().values(row).tolist() == [12]


def test_gaps_are_told_in_milliseconds():
    assert InterChunkLatency().chunk_values(np.array([5 * MS, 250_000])).tolist() == [5, 0.25]
