"""The instrument's own lateness."""

import numpy as np

from steelyard.builtin.metric.instrument import DeliveryLag, ReplayLag, ScheduleLag, SendLag
from steelyard.domain.bench.records import MISSING
from steelyard.testing.journals import answered

MS = 1_000_000


def test_connecting_is_lateness_but_not_ours():
    """7 ms late, of which 1 ms of DNS, 2 ms of connecting and 3 ms of TLS: 1 ms is ours."""
    row = answered(0, start_ms=50, ttft_ms=5, lag_ms=7, dns_ns=MS, connect_ns=2 * MS, tls_ns=3 * MS)
    assert ScheduleLag().values(row).tolist() == [7]
    assert SendLag().values(row).tolist() == [1]


def test_a_request_that_was_not_sent_is_not_late():
    row = answered(0, start_ms=50, ttft_ms=5, start_ns=MISSING)
    assert np.isnan(ScheduleLag().values(row)).all()
    assert np.isnan(SendLag().values(row)).all()


def test_the_delay_of_reading_is_told_where_the_kernel_stamped():
    row = answered(0, start_ms=0, ttft_ms=5, delivery_lag_ns=30_000)
    assert DeliveryLag().values(row).tolist() == [0.03]
    assert np.isnan(DeliveryLag().values(answered(0, start_ms=0, ttft_ms=5))).all()


def test_only_what_a_trace_times_can_lag_behind_it():
    """The first turn is 7 ms late; the second waited for an answer, not for the trace."""
    first = answered(0, start_ms=50, ttft_ms=5, lag_ms=7, turn=0)
    second = answered(0, start_ms=90, ttft_ms=5, lag_ms=7, turn=1)
    assert ReplayLag().values(first).tolist() == [7]
    assert np.isnan(ReplayLag().values(second)).all()
