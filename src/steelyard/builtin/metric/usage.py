"""What servers say they counted: the `usage` of their answers, and nobody else's counts."""

from collections.abc import Mapping

import numpy as np

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup, amount, ratio
from steelyard.domain.bench.records import TokenProvenance


def _told(batch: np.ndarray, column: str) -> np.ndarray:
    """Return a column where the server counted both sides; NaN elsewhere."""
    by_server = batch["token_provenance"] == TokenProvenance.SERVER_USAGE
    return np.asarray(np.where(by_server, amount(batch, column), np.nan))


class UsagePromptTokens:
    """Tokens of the prompt, as the server counts."""

    tag = "usage_prompt_tokens"
    header = "Prompt tokens by the server"
    unit = "tokens"
    larger_is_better = False
    definition = "input_tokens where token_provenance is server_usage"
    source = "server usage"
    flags = MetricFlags.INPUT_TOKENS | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where the server did not count."""
        return _told(batch, "input_tokens")


class UsageCompletionTokens:
    """Tokens of the answer, as the server counts."""

    tag = "usage_completion_tokens"
    header = "Completion tokens by the server"
    unit = "tokens"
    larger_is_better = True
    definition = "output_tokens where token_provenance is server_usage"
    source = "server usage"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where the server did not count."""
        return _told(batch, "output_tokens")


class UsageTotalTokens:
    """Tokens of prompt and answer, as the server counts."""

    tag = "usage_total_tokens"
    header = "Total tokens by the server"
    unit = "tokens"
    larger_is_better = False
    definition = "input_tokens + output_tokens where token_provenance is server_usage"
    source = "server usage"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where the server did not count."""
        both = _told(batch, "input_tokens") + _told(batch, "output_tokens")
        return np.asarray(both)


class UsagePromptCacheReadTokens:
    """Tokens of the prompt that the server had in its cache."""

    tag = "usage_prompt_cache_read_tokens"
    header = "Prompt tokens from the cache"
    unit = "tokens"
    larger_is_better = True
    definition = "cached_tokens, where the server tells"
    source = "server usage"
    flags = MetricFlags.INPUT_TOKENS | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where the server does not tell."""
        return amount(batch, "cached_tokens")


class UsagePromptCacheReadShare:
    """Percent of one prompt that the server had in its cache."""

    tag = "usage_prompt_cache_read_pct"
    header = "Prompt from the cache"
    unit = "%"
    larger_is_better = True
    definition = "100 * cached_tokens / input_tokens"
    source = "server usage"
    flags = MetricFlags.INPUT_TOKENS | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return percent per request; NaN where the server does not tell."""
        return 100.0 * ratio(amount(batch, "cached_tokens"), amount(batch, "input_tokens"))


class OverallCacheReadShare:
    """Percent of all prompt tokens that the server had in its cache."""

    tag = "overall_usage_prompt_cache_read_pct"
    header = "Prompt tokens from the cache"
    unit = "%"
    larger_is_better = True
    definition = "100 * sum of cached_tokens / sum of input_tokens, of answers that tell the former"
    source = "server usage"
    flags = MetricFlags.INPUT_TOKENS
    group = MetricGroup.TOKENS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return percent; None when no answer tells."""
        prompts = totals.get("cacheable_tokens", 0.0)
        return 100.0 * totals["cached_tokens"] / prompts if prompts else None
