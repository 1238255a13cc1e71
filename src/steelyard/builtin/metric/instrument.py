"""How well the instrument itself did: lateness of sends, delay of reads."""

from collections.abc import Mapping

import numpy as np

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup, amount, elapsed_ms
from steelyard.kernel.units import NS_PER_MS

_CONNECTING = ("dns_ns", "connect_ns", "tls_ns")


class ScheduleLag:
    """Milliseconds by which requests left later than the schedule meant."""

    tag = "schedule_lag"
    header = "Schedule lag"
    unit = "ms"
    larger_is_better = False
    definition = "start_ns - intended_ns, of all requests that were sent"
    source = "schedule and send stamps"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.INSTRUMENT

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where nothing was sent."""
        return elapsed_ms(batch, "intended_ns", "start_ns")


class ReplayLag:
    """Milliseconds by which requests left later than the times of a replayed trace say."""

    tag = "replay_lag"
    header = "Replay lag"
    unit = "ms"
    larger_is_better = False
    definition = "start_ns - intended_ns, of all requests sent at the times of a trace"
    source = "the trace and send stamps"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.REPLAY_ONLY
    group = MetricGroup.INSTRUMENT

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where nothing was sent, and for later turns of a session.

        What comes after an answer waits for it, not for the trace's clock.
        """
        late = elapsed_ms(batch, "intended_ns", "start_ns")
        return np.asarray(np.where(batch["turn"] > 0, np.nan, late))


class SendLag:
    """Milliseconds of the schedule lag that are our own: without looking up and connecting."""

    tag = "send_lag"
    header = "Send lag of the client"
    unit = "ms"
    larger_is_better = False
    definition = "schedule lag - (dns_ns + connect_ns + tls_ns), at least 0"
    source = "schedule and send stamps"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.INTERNAL
    group = MetricGroup.INSTRUMENT

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where nothing was sent."""
        connecting = sum(np.maximum(batch[name], 0) for name in _CONNECTING) / NS_PER_MS
        own = elapsed_ms(batch, "intended_ns", "start_ns") - connecting
        return np.asarray(np.maximum(own, 0.0))


class DeliveryLag:
    """Milliseconds between the kernel's stamp of the first content and our reading it."""

    tag = "delivery_lag"
    header = "Delivery lag of the client"
    unit = "ms"
    larger_is_better = False
    definition = "delivery_lag_ns; kept out of latencies by kernel stamps"
    source = "receive stamps of kernel and process"
    flags = MetricFlags.STREAMING_ONLY | MetricFlags.INTERNAL
    group = MetricGroup.INSTRUMENT

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where the kernel did not stamp."""
        return amount(batch, "delivery_lag_ns") / NS_PER_MS


class CoalescedShare:
    """Percent of the content chunks that came in one read with the chunk before."""

    tag = "coalesced_share"
    header = "Coalesced chunks"
    unit = "%"
    larger_is_better = False
    definition = "100 * coalesced_events / chunks"
    source = "receive stamps"
    flags = MetricFlags.INCLUDES_FAILURES | MetricFlags.STREAMING_ONLY | MetricFlags.NO_CONSOLE
    group = MetricGroup.INSTRUMENT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return percent; None when no chunk came."""
        chunks = totals.get("chunks", 0.0)
        return 100.0 * totals.get("coalesced_events", 0.0) / chunks if chunks else None
