"""How much was in flight, averaged over time; each average is an exact integral / duration."""

from collections.abc import Mapping

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup, per_second


class EffectiveConcurrency:
    """Requests in flight, averaged over time (Little's law: sum of times in flight / duration)."""

    tag = "effective_concurrency"
    header = "Effective concurrency"
    unit = "requests"
    larger_is_better = True
    definition = "sum of (end_ns - start_ns) of all requests / benchmark duration"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests; None without a duration."""
        return per_second(totals, "busy_s")


class PrefillConcurrency:
    """Requests in flight that have no content yet, averaged over time."""

    tag = "prefill_concurrency"
    header = "Prefill concurrency"
    unit = "requests"
    larger_is_better = False
    definition = (
        "sum of (first_token_ns - start_ns), or of (end_ns - start_ns) without content, "
        "of all requests / benchmark duration"
    )
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.STREAMING_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests; None without a duration."""
        return per_second(totals, "prefill_s")


class DecodeConcurrency:
    """Requests in flight that have content already, averaged over time."""

    tag = "decode_concurrency"
    header = "Decode concurrency"
    unit = "requests"
    larger_is_better = True
    definition = "effective concurrency - prefill concurrency"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.STREAMING_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests; None without a duration."""
        return per_second(totals, "decode_s")


class TokensInFlight:
    """Tokens that requests in flight hold, prompt and answer so far, averaged over time."""

    tag = "tokens_in_flight"
    header = "Tokens in flight"
    unit = "tokens"
    larger_is_better = True
    definition = (
        "integral of input_tokens from start_ns to end_ns, and of output_tokens, which come evenly "
        "from first_token_ns to last_token_ns, until end_ns / benchmark duration"
    )
    source = "records and token counts"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.INPUT_TOKENS | MetricFlags.NO_CONSOLE
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return tokens; None without a duration, or when nobody counted."""
        return per_second(totals, "token_s") if "input_tokens" in totals else None
