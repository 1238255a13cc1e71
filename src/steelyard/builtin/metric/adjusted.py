"""Latencies in which a request that failed is one that never ended: above all others, +inf.

Percentiles of successes alone get better the more requests a server drops. Requests cancelled on
purpose are left out here as there.
"""

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup

_SOURCE = "receive stamps and failures"


class TimeToFirstTokenAdjusted:
    """Milliseconds from the first send to the first content, failures never."""

    tag = "time_to_first_token_adjusted"
    header = "Time to first token, failures never"
    unit = "ms"
    larger_is_better = False
    definition = "time_to_first_token, with +inf for each failed request"
    source = _SOURCE
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def adjusts(self) -> str:
        """Return the tag of the metric whose values these are."""
        return "time_to_first_token"


class TimeToFirstTokenIntendedAdjusted:
    """Milliseconds from when the schedule meant to send to the first content, failures never."""

    tag = "time_to_first_token_intended_adjusted"
    header = "Time to first token, from intended, failures never"
    unit = "ms"
    larger_is_better = False
    definition = "time_to_first_token_intended, with +inf for each failed request"
    source = f"schedule; {_SOURCE}"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def adjusts(self) -> str:
        """Return the tag of the metric whose values these are."""
        return "time_to_first_token_intended"


class RequestLatencyAdjusted:
    """Milliseconds from the first send to the end of the response, failures never."""

    tag = "request_latency_adjusted"
    header = "Request latency, failures never"
    unit = "ms"
    larger_is_better = False
    definition = "request_latency, with +inf for each failed request"
    source = _SOURCE
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.LATENCY

    def adjusts(self) -> str:
        """Return the tag of the metric whose values these are."""
        return "request_latency"


class RequestLatencyIntendedAdjusted:
    """Milliseconds from when the schedule meant to send to the end, failures never."""

    tag = "request_latency_intended_adjusted"
    header = "Request latency, from intended, failures never"
    unit = "ms"
    larger_is_better = False
    definition = "request_latency_intended, with +inf for each failed request"
    source = f"schedule; {_SOURCE}"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.LATENCY

    def adjusts(self) -> str:
        """Return the tag of the metric whose values these are."""
        return "request_latency_intended"
