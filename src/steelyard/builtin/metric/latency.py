"""How long answers take: first content, the pace of the rest, and the whole request."""

import numpy as np

from steelyard.domain.bench.metrics import (
    MetricFlags,
    MetricGroup,
    amount,
    apart_ms,
    elapsed_ms,
    first_output_stamp_width_ms,
    first_token_stamp_width_ms,
    ratio,
    request_stamp_width_ms,
)
from steelyard.domain.bench.records import MISSING
from steelyard.kernel.units import NS_PER_MS


class TimeToFirstToken:
    """Milliseconds from the first send to the first content; the wire's view."""

    tag = "time_to_first_token"
    header = "Time to first token"
    unit = "ms"
    larger_is_better = False
    definition = "first_token_ns - start_ns: the first non-empty content or reasoning"
    source = "receive stamps"
    flags = MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no content came in a stream."""
        return elapsed_ms(batch, "start_ns", "first_token_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return first_token_stamp_width_ms(batch)


class TimeToFirstTokenIntended:
    """Milliseconds from when the schedule meant to send, so a late client can't hide a queue."""

    tag = "time_to_first_token_intended"
    header = "Time to first token, from intended"
    unit = "ms"
    larger_is_better = False
    definition = "first_token_ns - intended_ns"
    source = "schedule and receive stamps; G. Tene, coordinated omission"
    flags = MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no content came in a stream."""
        return elapsed_ms(batch, "intended_ns", "first_token_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return first_token_stamp_width_ms(batch)


class TimeToSecondToken:
    """Milliseconds between the first and the second content chunk."""

    tag = "time_to_second_token"
    header = "Time to second token"
    unit = "ms"
    larger_is_better = False
    definition = "second_token_ns - first_token_ns"
    source = "receive stamps"
    flags = MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN below two content chunks, or when one read brought both."""
        return apart_ms(batch, "first_token_ns", "second_token_ns")


class TimeToFirstOutputToken:
    """Milliseconds from the first send to the first content that is not reasoning."""

    tag = "time_to_first_output_token"
    header = "Time to first output token"
    unit = "ms"
    larger_is_better = False
    definition = "first_output_ns - start_ns: the first non-empty, non-reasoning content"
    source = "receive stamps"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.SUPPORTS_REASONING
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no such content came in a stream."""
        return elapsed_ms(batch, "start_ns", "first_output_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return first_output_stamp_width_ms(batch)


class TimeToFirstOutputTokenIntended:
    """Milliseconds from when the schedule meant to send to the first non-reasoning content."""

    tag = "time_to_first_output_token_intended"
    header = "Time to first output token, from intended"
    unit = "ms"
    larger_is_better = False
    definition = "first_output_ns - intended_ns"
    source = "schedule and receive stamps"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.SUPPORTS_REASONING | MetricFlags.NO_CONSOLE
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no such content came in a stream."""
        return elapsed_ms(batch, "intended_ns", "first_output_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return first_output_stamp_width_ms(batch)


class InterTokenLatency:
    """Milliseconds per token after the first chunk.

    (latency - TTFT) / (OSL - tokens of the first chunk), where the latency ends at the last
    content chunk: what a server sends after its last token is no pace of tokens. A server that
    sends several tokens a chunk is not made slower or faster by it.
    """

    tag = "inter_token_latency"
    header = "Inter-token latency"
    unit = "ms"
    larger_is_better = False
    definition = "(last_token_ns - first_token_ns) / (output_tokens - first_chunk_tokens)"
    source = "receive stamps and token counts"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.PRODUCES_TOKENS_ONLY
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where the OSL is unknown, or all came in the first read."""
        return ratio(apart_ms(batch, "first_token_ns", "last_token_ns"), _later_tokens(batch))


def _later_tokens(batch: np.ndarray) -> np.ndarray:
    first = batch["first_chunk_tokens"]
    in_first_chunk = np.where(first == MISSING, 1, first)
    return amount(batch, "output_tokens") - in_first_chunk


class InterChunkLatency:
    """Milliseconds between two content chunks that came in different reads; one value per gap."""

    tag = "inter_chunk_latency"
    header = "Inter-chunk latency"
    unit = "ms"
    larger_is_better = False
    definition = "time between consecutive content chunks; chunks of one read are left out"
    source = "receive stamps"
    flags = MetricFlags.STREAMING_ONLY
    group = MetricGroup.LATENCY

    def chunk_values(self, gaps_ns: np.ndarray) -> np.ndarray:
        """Return ms per gap."""
        return gaps_ns / NS_PER_MS


class RequestLatency:
    """Milliseconds from the first send to the end of the response."""

    tag = "request_latency"
    header = "Request latency"
    unit = "ms"
    larger_is_better = False
    definition = "end_ns - start_ns"
    source = "receive stamps"
    flags = MetricFlags.NONE
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request."""
        return elapsed_ms(batch, "start_ns", "end_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return request_stamp_width_ms(batch)


class RequestLatencyIntended:
    """Milliseconds from when the schedule meant to send to the end of the response."""

    tag = "request_latency_intended"
    header = "Request latency, from intended"
    unit = "ms"
    larger_is_better = False
    definition = "end_ns - intended_ns"
    source = "schedule and receive stamps; G. Tene, coordinated omission"
    flags = MetricFlags.NONE
    group = MetricGroup.LATENCY

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request."""
        return elapsed_ms(batch, "intended_ns", "end_ns")

    def stamp_width(self, batch: np.ndarray) -> np.ndarray:
        """Return ms by which stamps alone can overstate each value."""
        return request_stamp_width_ms(batch)
