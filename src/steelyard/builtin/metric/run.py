"""One number per run: throughputs, counts, rates."""

from collections.abc import Mapping

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup, per_second


class RequestThroughput:
    """Answered requests per second."""

    tag = "request_throughput"
    header = "Request throughput"
    unit = "requests/s"
    larger_is_better = True
    definition = "successful requests / benchmark duration"
    source = "records"
    flags = MetricFlags.NONE
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests/s; None without a duration."""
        return per_second(totals, "succeeded")


class InputTokenThroughput:
    """Prompt tokens per second, over all users."""

    tag = "input_token_throughput"
    header = "Input token throughput"
    unit = "tokens/s"
    larger_is_better = True
    definition = "input tokens of successful requests / benchmark duration"
    source = "records and token counts"
    flags = MetricFlags.INPUT_TOKENS
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return tokens/s; None without a duration, or when nobody counted."""
        return per_second(totals, "input_tokens")


class OutputTokenThroughput:
    """Output tokens per second, over all users."""

    tag = "output_token_throughput"
    header = "Output token throughput"
    unit = "tokens/s"
    larger_is_better = True
    definition = "output tokens of successful requests / benchmark duration"
    source = "records and token counts"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return tokens/s; None without a duration, or when nobody counted."""
        return per_second(totals, "output_tokens")


class TotalTokenThroughput:
    """Input and output tokens per second, over all users."""

    tag = "total_token_throughput"
    header = "Total token throughput"
    unit = "tokens/s"
    larger_is_better = True
    definition = "(input + output tokens of successful requests) / benchmark duration"
    source = "records and token counts"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return tokens/s; None without a duration, or when either side was not counted."""
        parts = [per_second(totals, key) for key in ("input_tokens", "output_tokens")]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


class RequestCount:
    """How many requests were answered."""

    tag = "request_count"
    header = "Successful requests"
    unit = "requests"
    larger_is_better = True
    definition = "requests with no error that were not cancelled"
    source = "records"
    flags = MetricFlags.NONE
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count."""
        return totals.get("succeeded")


class ErrorRequestCount:
    """How many requests failed; cancelled ones are not failures."""

    tag = "error_request_count"
    header = "Failed requests"
    unit = "requests"
    larger_is_better = False
    definition = "requests with an error that were not cancelled"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count."""
        return totals.get("failed")


class CancelledRequestCount:
    """How many requests we gave up ourselves, on purpose or because time was over."""

    tag = "cancelled_request_count"
    header = "Cancelled requests"
    unit = "requests"
    larger_is_better = False
    definition = "requests cancelled by the client"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count."""
        return totals.get("cancelled")


class ErrorRate:
    """Percent of the requests that ended by themselves which failed."""

    tag = "error_rate"
    header = "Error rate"
    unit = "%"
    larger_is_better = False
    definition = "100 * failed / (failed + successful)"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return percent; None when nothing ended."""
        failed = totals.get("failed", 0.0)
        ended = failed + totals.get("succeeded", 0.0)
        return 100.0 * failed / ended if ended else None


class GoodRequestCount:
    """How many requests met every objective of the plan's goodput."""

    tag = "good_request_count"
    header = "Good requests"
    unit = "requests"
    larger_is_better = True
    definition = "successful requests whose every goodput metric is within its objective"
    source = "records and the plan"
    flags = MetricFlags.GOODPUT
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count; None when the plan has no objectives."""
        return totals.get("good")


class GoodRequestFraction:
    """Percent of the requests that ended by themselves which met every objective."""

    tag = "good_request_fraction"
    header = "Good requests"
    unit = "%"
    larger_is_better = True
    definition = "100 * good requests / (failed + successful)"
    source = "records and the plan"
    flags = MetricFlags.GOODPUT | MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.REQUESTS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return percent; None when the plan has no objectives or nothing ended."""
        ended = totals.get("failed", 0.0) + totals.get("succeeded", 0.0)
        return 100.0 * totals["good"] / ended if ended and "good" in totals else None


class Goodput:
    """Requests per second that met every objective (DistServe, Zhong et al., OSDI 2024)."""

    tag = "goodput"
    header = "Goodput"
    unit = "requests/s"
    larger_is_better = True
    definition = "good requests / benchmark duration"
    source = "records and the plan"
    flags = MetricFlags.GOODPUT
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests/s; None when the plan has no objectives."""
        return per_second(totals, "good")


class OslMismatchCount:
    """How many answers were longer or shorter than asked for by more than 5 %."""

    tag = "osl_mismatch_count"
    header = "Answers of another length than asked"
    unit = "requests"
    larger_is_better = False
    definition = "successful requests with |OSL - requested| > max(1, 5 % of requested)"
    source = "token counts and the plan"
    flags = MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.TOKENS

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count; None when no lengths were asked for."""
        return totals.get("osl_mismatched") if totals.get("osl_compared") else None


class BenchmarkDuration:
    """Seconds of the profiling phases, each from its first send to its last response's end."""

    tag = "benchmark_duration"
    header = "Benchmark duration"
    unit = "s"
    larger_is_better = False
    definition = "sum over profiling phases of max(end_ns) - min(start_ns)"
    source = "records"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.THROUGHPUT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return seconds; None when nothing was sent."""
        return totals.get("duration_s")
