"""The phases of an HTTP request, by hand."""

import numpy as np
import pytest

from steelyard.builtin.metric.http import (
    HttpBlocked,
    HttpConnecting,
    HttpDataReceived,
    HttpDataSent,
    HttpDnsLookup,
    HttpReceiving,
    HttpSending,
    HttpTlsHandshake,
    HttpWaiting,
)
from steelyard.builtin.metric.latency import RequestLatency
from steelyard.testing.journals import T0_NS, answered, refused

MS = 1_000_000
# Waited 2 ms, looked up for 1, connected in 3, shook hands for 4; sent over 0.5 ms, first byte
# after 20 ms, end 15 ms later.
ROW = answered(
    0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4, sent_ns=T0_NS + MS // 2, blocked_ns=2 * MS,
    dns_ns=MS, connect_ns=3 * MS, tls_ns=4 * MS, bytes_sent=700, bytes_received=9_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (HttpBlocked, 2),
        (HttpDnsLookup, 1),
        (HttpConnecting, 3),
        (HttpTlsHandshake, 4),
        (HttpSending, 0.5),
        (HttpWaiting, 19.5),
        (HttpReceiving, 15),
        (HttpDataSent, 700),
        (HttpDataReceived, 9_000),
    ],
)
def test_each_phase_is_the_time_between_its_stamps(metric, expected):
    assert metric().values(ROW).tolist() == [expected]


def test_the_phases_after_the_first_send_make_up_the_latency():
    parts = sum(metric().values(ROW)[0] for metric in (HttpSending, HttpWaiting, HttpReceiving))
    assert parts == RequestLatency().values(ROW)[0] == 35


def test_an_answer_that_was_there_before_send_returned_was_waited_for_no_longer():
    """Sent by 25 ms as we saw it, answered at 20 ms as the kernel did: no wait at all."""
    row = answered(0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4, sent_ns=T0_NS + 25 * MS)
    assert HttpSending().values(row).tolist() == [20]
    assert HttpWaiting().values(row).tolist() == [0]
    assert HttpReceiving().values(row).tolist() == [15]


def test_an_open_connection_costs_nothing_and_that_is_a_value():
    row = answered(0, start_ms=0, ttft_ms=20, dns_ns=0, connect_ns=0, tls_ns=0)
    for metric in (HttpDnsLookup, HttpConnecting, HttpTlsHandshake):
        assert metric().values(row).tolist() == [0]


def test_a_request_that_was_never_answered_was_not_received():
    row = refused(0, start_ms=0)
    assert np.isnan(HttpWaiting().values(row)).all()
    assert np.isnan(HttpReceiving().values(row)).all()
