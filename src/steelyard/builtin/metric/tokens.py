"""How many tokens went in and came out, and how fast for one user."""

import numpy as np

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup, amount, elapsed_ms, ratio
from steelyard.domain.bench.records import MISSING, TokenProvenance

_MS_PER_S = 1000.0


class InputSequenceLength:
    """Tokens of the prompt."""

    tag = "input_sequence_length"
    header = "Input sequence length"
    unit = "tokens"
    larger_is_better = False
    definition = "input_tokens: the server's count, or the client's where it gives none"
    source = "token counts"
    flags = MetricFlags.INPUT_TOKENS
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where nobody counted."""
        return amount(batch, "input_tokens")


class OutputSequenceLength:
    """Tokens of the answer, reasoning included, as the `completion_tokens` of servers count."""

    tag = "output_sequence_length"
    header = "Output sequence length"
    unit = "tokens"
    larger_is_better = True
    definition = "output_tokens, reasoning included"
    source = "token counts"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where nobody counted."""
        return amount(batch, "output_tokens")


class OutputTokenCount:
    """Tokens of the answer without reasoning."""

    tag = "output_token_count"
    header = "Output tokens without reasoning"
    unit = "tokens"
    larger_is_better = True
    definition = "output_tokens - reasoning_tokens, where both are known"
    source = "token counts"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.SUPPORTS_REASONING
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where either count is unknown."""
        return np.asarray(amount(batch, "output_tokens") - amount(batch, "reasoning_tokens"))


class ReasoningTokenCount:
    """Tokens that the model spent thinking."""

    tag = "reasoning_token_count"
    header = "Reasoning tokens"
    unit = "tokens"
    larger_is_better = False
    definition = "reasoning_tokens"
    source = "token counts"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.SUPPORTS_REASONING
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens per request; NaN where nobody counted them."""
        return amount(batch, "reasoning_tokens")


class OslMismatch:
    """How far the answer's length is from the length asked for, in percent of the latter."""

    tag = "osl_mismatch_diff_pct"
    header = "OSL difference from requested"
    unit = "%"
    larger_is_better = False
    definition = "100 * (output_tokens - requested_output_tokens) / requested"
    source = "token counts and the plan"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return percent per request; NaN where no length was asked for or counted."""
        asked = amount(batch, "requested_output_tokens")
        return 100.0 * ratio(amount(batch, "output_tokens") - asked, asked)


class IslMismatch:
    """How far the server's count of the prompt is from the data set's, in percent of the latter.

    Servers add a chat template's tokens, and may use another tokenizer than ours.
    """

    tag = "isl_mismatch_diff_pct"
    header = "ISL difference from the data set"
    unit = "%"
    larger_is_better = False
    definition = (
        "100 * (input_tokens - client_input_tokens) / client_input_tokens, where "
        "token_provenance is server_usage"
    )
    source = "token counts and the data set"
    flags = MetricFlags.INPUT_TOKENS | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return percent per request; NaN where either side did not count."""
        ours = amount(batch, "client_input_tokens")
        by_server = batch["token_provenance"] == TokenProvenance.SERVER_USAGE
        theirs = np.where(by_server, amount(batch, "input_tokens"), np.nan)
        return 100.0 * ratio(theirs - ours, ours)


class OutputTokenThroughputPerUser:
    """Tokens per second that one user sees after the first chunk: the inverse of the ITL."""

    tag = "output_token_throughput_per_user"
    header = "Output speed per user"
    unit = "tokens/s/user"
    larger_is_better = True
    definition = (
        "(output_tokens - first_chunk_tokens) / (last_token_ns - first_token_ns), per second"
    )
    source = "receive stamps and token counts"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.PRODUCES_TOKENS_ONLY
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens/s per request; NaN where there is no inter-token latency, or it is 0."""
        first = batch["first_chunk_tokens"]
        later = amount(batch, "output_tokens") - np.where(first == MISSING, 1, first)
        later = np.where(later > 0, later, np.nan)
        return _MS_PER_S * ratio(later, elapsed_ms(batch, "first_token_ns", "last_token_ns"))


class PrefillThroughputPerUser:
    """Prompt tokens per second until the first content."""

    tag = "prefill_throughput_per_user"
    header = "Prefill speed per user"
    unit = "tokens/s/user"
    larger_is_better = True
    definition = "input_tokens / time to first token, per second"
    source = "receive stamps and token counts"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.INPUT_TOKENS
    group = MetricGroup.TOKENS

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return tokens/s per request; NaN where the ISL or the TTFT is unknown."""
        first_token_ms = elapsed_ms(batch, "start_ns", "first_token_ns")
        return _MS_PER_S * ratio(amount(batch, "input_tokens"), first_token_ms)
