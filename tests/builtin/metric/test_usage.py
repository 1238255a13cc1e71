"""What servers say they counted."""

import numpy as np

from steelyard.builtin.metric.usage import (
    UsageCompletionTokens,
    UsagePromptCacheReadShare,
    UsagePromptCacheReadTokens,
    UsagePromptTokens,
    UsageTotalTokens,
)
from steelyard.domain.bench.records import TokenProvenance
from steelyard.testing.journals import answered

# 10 tokens in, 4 of them from the cache, 3 out.
ROW = answered(0, start_ms=0, ttft_ms=20, tokens=3, cached_tokens=4)
METRICS = (UsagePromptTokens, UsageCompletionTokens, UsageTotalTokens)


def test_a_servers_counts_are_told():
    assert [metric().values(ROW).tolist() for metric in METRICS] == [[10], [3], [13]]
    assert UsagePromptCacheReadTokens().values(ROW).tolist() == [4]
    assert UsagePromptCacheReadShare().values(ROW).tolist() == [40]


def test_our_own_counts_are_not_passed_off_as_the_servers():
    row = answered(0, start_ms=0, ttft_ms=20, token_provenance=TokenProvenance.CLIENT_TOKENIZER)
    for metric in METRICS:
        assert np.isnan(metric().values(row)).all()
    for metric in (UsagePromptCacheReadTokens, UsagePromptCacheReadShare):
        assert np.isnan(metric().values(row)).all()
