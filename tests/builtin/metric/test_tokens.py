"""Token counts and paces per user, computed by hand."""

import numpy as np

from steelyard.builtin.metric.tokens import (
    InputSequenceLength,
    IslMismatch,
    OslMismatch,
    OutputSequenceLength,
    OutputTokenCount,
    OutputTokenThroughputPerUser,
    PrefillThroughputPerUser,
    ReasoningTokenCount,
)
from steelyard.domain.bench.records import TokenProvenance
from steelyard.testing.journals import answered

# 10 tokens in, first content after 20 ms, then 3 more tokens in 15 ms.
ROW = answered(0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4)


def test_lengths_are_the_counts():
    assert InputSequenceLength().values(ROW).tolist() == [10]
    assert OutputSequenceLength().values(ROW).tolist() == [4]


def test_reasoning_is_part_of_the_output_length():
    row = answered(0, start_ms=0, ttft_ms=20, tokens=40, reasoning_tokens=25)
    assert OutputSequenceLength().values(row).tolist() == [40]
    assert ReasoningTokenCount().values(row).tolist() == [25]
    assert OutputTokenCount().values(row).tolist() == [15]
    assert np.isnan(OutputTokenCount().values(ROW)).all()


def test_the_speed_of_a_user_is_the_inverse_of_the_inter_token_latency():
    """3 tokens in 15 ms are 200 a second; 10 prompt tokens in 20 ms are 500 a second."""
    assert OutputTokenThroughputPerUser().values(ROW).tolist() == [200]
    assert PrefillThroughputPerUser().values(ROW).tolist() == [500]


def test_tokens_that_came_all_at_once_have_no_speed():
    row = answered(0, start_ms=0, ttft_ms=20, itl_ms=0, tokens=4)
    assert np.isnan(OutputTokenThroughputPerUser().values(row)).all()


def test_differences_are_in_percent_of_what_was_meant():
    """4 of 5 asked for: -20 %; the server counts 10 where the data set counted 8: +25 %."""
    row = answered(
        0, start_ms=0, ttft_ms=20, tokens=4, requested_output_tokens=5, client_input_tokens=8
    )
    assert OslMismatch().values(row).tolist() == [-20]
    assert IslMismatch().values(row).tolist() == [25]
    assert np.isnan(OslMismatch().values(ROW)).all()


def test_our_own_count_does_not_agree_with_itself():
    """Where the server counts nothing there is no difference to it, not one of 0 %."""
    row = answered(
        0, start_ms=0, ttft_ms=20, client_input_tokens=10,
        token_provenance=TokenProvenance.CLIENT_TOKENIZER,
    )  # fmt: skip
    assert np.isnan(IslMismatch().values(row)).all()
