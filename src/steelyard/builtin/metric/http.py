"""The phases of an HTTP request, in their order, and what they carried.

A request that found an open connection looked nothing up and connected nowhere: 0, not missing.
"""

from collections.abc import Mapping

import numpy as np

from steelyard.domain.bench.metrics import (
    MetricFlags,
    MetricGroup,
    amount,
    elapsed_ms,
    sending_end_ns,
)
from steelyard.domain.bench.records import MISSING
from steelyard.kernel.units import NS_PER_MS

_FLAGS = MetricFlags.HTTP_TRACE | MetricFlags.NO_CONSOLE


def _between_ms(begin_ns: np.ndarray, end_ns: np.ndarray) -> np.ndarray:
    known = (begin_ns != MISSING) & (end_ns != MISSING)
    return np.where(known, (end_ns - begin_ns) / NS_PER_MS, np.nan)


class HttpBlocked:
    """Milliseconds that a request waited for a connection of its own or of the pool."""

    tag = "http_req_blocked"
    header = "Blocked"
    unit = "ms"
    larger_is_better = False
    definition = "blocked_ns: from handing it over to its first send, less dns, connect and tls"
    source = "send stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where nothing was sent."""
        return amount(batch, "blocked_ns") / NS_PER_MS


class HttpDnsLookup:
    """Milliseconds of looking the server's name up."""

    tag = "http_req_dns_lookup"
    header = "DNS lookup"
    unit = "ms"
    larger_is_better = False
    definition = "dns_ns; 0 on a connection that was open"
    source = "send stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request."""
        return amount(batch, "dns_ns") / NS_PER_MS


class HttpConnecting:
    """Milliseconds of the TCP handshake."""

    tag = "http_req_connecting"
    header = "Connecting"
    unit = "ms"
    larger_is_better = False
    definition = "connect_ns; 0 on a connection that was open"
    source = "send stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request."""
        return amount(batch, "connect_ns") / NS_PER_MS


class HttpTlsHandshake:
    """Milliseconds of the TLS handshake."""

    tag = "http_req_tls_handshaking"
    header = "TLS handshake"
    unit = "ms"
    larger_is_better = False
    definition = "tls_ns; 0 on a connection that was open, and without TLS"
    source = "send stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request."""
        return amount(batch, "tls_ns") / NS_PER_MS


class HttpSending:
    """Milliseconds from the first send to the last."""

    tag = "http_req_sending"
    header = "Sending"
    unit = "ms"
    larger_is_better = False
    definition = "min(sent_ns, first_byte_ns) - start_ns"
    source = "send stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where it was not sent whole."""
        return _between_ms(batch["start_ns"], sending_end_ns(batch))


class HttpWaiting:
    """Milliseconds from the last send to the first byte of the answer."""

    tag = "http_req_waiting"
    header = "Waiting"
    unit = "ms"
    larger_is_better = False
    definition = "first_byte_ns - min(sent_ns, first_byte_ns)"
    source = "send and receive stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no byte came."""
        return _between_ms(sending_end_ns(batch), batch["first_byte_ns"])


class HttpReceiving:
    """Milliseconds from the first byte of the answer to its end."""

    tag = "http_req_receiving"
    header = "Receiving"
    unit = "ms"
    larger_is_better = False
    definition = "end_ns - first_byte_ns"
    source = "receive stamps"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return ms per request; NaN where no byte came."""
        return elapsed_ms(batch, "first_byte_ns", "end_ns")


class HttpDataSent:
    """Bytes of the request, head and body."""

    tag = "http_req_data_sent"
    header = "Data sent"
    unit = "bytes"
    larger_is_better = False
    definition = "bytes_sent: head and body, before TLS"
    source = "records"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return bytes per request."""
        return amount(batch, "bytes_sent")


class HttpDataReceived:
    """Bytes of the answer, head and body."""

    tag = "http_req_data_received"
    header = "Data received"
    unit = "bytes"
    larger_is_better = False
    definition = "bytes_received: head and body, after TLS"
    source = "records"
    flags = _FLAGS
    group = MetricGroup.HTTP

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return bytes per request."""
        return amount(batch, "bytes_received")


class HttpConnectionReused:
    """Percent of the requests that were sent over a connection used before."""

    tag = "http_req_connection_reused"
    header = "Connections reused"
    unit = "%"
    larger_is_better = True
    definition = "100 * requests over a connection used before / requests sent"
    source = "records"
    flags = _FLAGS | MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.HTTP

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return percent; None when nothing was sent."""
        sent = totals.get("sent", 0.0)
        return 100.0 * totals["reused"] / sent if sent and "reused" in totals else None


class HttpRetriedCount:
    """How many requests met a connection that the server was closing and went out a second time."""

    tag = "http_req_retried"
    header = "Requests sent again"
    unit = "requests"
    larger_is_better = False
    definition = "requests with attempt > 0: the kept connection ended before it brought anything"
    source = "records"
    flags = _FLAGS | MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.HTTP

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the count."""
        return totals.get("retried")
