"""Times on their way between a worker's clock and the controller's."""

import msgspec
import numpy as np
import pytest

from steelyard.domain.bench.chunks import CHUNK_DTYPE, empty_chunks
from steelyard.domain.bench.clock_border import ClockBorder, shifted
from steelyard.domain.bench.clock_offset import ClockEstimate, ClockExchange
from steelyard.domain.bench.messages import (
    BeginPhase,
    GrantLeases,
    Lease,
    RecordBatch,
    SetQuota,
    StopSending,
    WorkerFacts,
)
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, TIME_COLUMNS, empty_batch

AHEAD = 1_000_000_000_000
"""The controller's clock shows so much more."""


def lease(expires_ns: int) -> Lease:
    return Lease(lease_id=1, epoch=0, phase=0, index_from=0, index_to=9, stride=1,
                 expires_ns=expires_ns)  # fmt: skip


def begin(phase: int, start_ns: int) -> BeginPhase:
    return BeginPhase(phase=phase, epoch=phase, start_ns=start_ns, concurrency=1,
                      prefill_concurrency=None, leases=(lease(start_ns + 10),))  # fmt: skip


def batch(epoch: int, **times: int) -> RecordBatch:
    rows = empty_batch(1)
    for name, value in times.items():
        rows[name] = value
    return RecordBatch(worker=1, epoch=epoch, batch_seq=0, rows=1, data=rows.tobytes(), messages={})


def row(message: msgspec.Struct) -> np.ndarray:
    assert isinstance(message, RecordBatch)
    return np.frombuffer(message.data, RECORD_DTYPE)[0]


def facts() -> WorkerFacts:
    return WorkerFacts(worker=1, mono_ns=50, wall_offset_ns=7 * AHEAD, cpu_s=0, span_s=1,
                       send_lag_p99_ns=0, send_lag_max_ns=0, clock_steps=0)  # fmt: skip


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def border(clock: Clock) -> ClockBorder:
    estimate = ClockEstimate(drift_max=0.0)
    estimate.add(ClockExchange(0, AHEAD + 10, AHEAD + 10, 20))
    return ClockBorder(estimate, clock, same_clock=False)


def test_an_intended_time_comes_back_as_it_went_out(border: ClockBorder) -> None:
    """To the nanosecond, whatever the exchanges of the phase did to the estimate."""
    told = border.inbound(begin(0, AHEAD + 1_000))
    assert isinstance(told, BeginPhase)
    assert (told.start_ns, told.leases[0].expires_ns) == (1_000, 1_010)
    border.estimate.add(ClockExchange(2_000, AHEAD + 2_003, AHEAD + 2_003, 2_004))
    assert border.estimate.offset_ns(2_004) != AHEAD
    assert row(border.outbound(batch(0, intended_ns=told.start_ns)))["intended_ns"] == AHEAD + 1_000


def test_a_later_phase_uses_what_is_known_then_and_old_records_keep_their_own(
    border: ClockBorder,
) -> None:
    """Records of a phase are moved by the offset with which it began, also when sent later."""
    border.inbound(begin(0, AHEAD))
    border.estimate.add(ClockExchange(2_000, AHEAD + 2_003, AHEAD + 2_003, 2_004))
    border.inbound(begin(1, AHEAD))
    assert row(border.outbound(batch(0, start_ns=5)))["start_ns"] == AHEAD + 5
    assert row(border.outbound(batch(1, start_ns=5)))["start_ns"] == AHEAD + 6


def test_all_that_has_a_time_is_moved_and_nothing_else(border: ClockBorder) -> None:
    """Grants and ends come in, reports go out; a quota has no time."""
    border.inbound(begin(0, AHEAD))
    granted = border.inbound(GrantLeases((lease(AHEAD + 5),), AHEAD + 7))
    assert isinstance(granted, GrantLeases)
    assert (granted.leases[0].expires_ns, granted.renew_to_ns) == (5, 7)
    assert border.inbound(StopSending(phase=0, cancel_at_ns=AHEAD + 9)) == StopSending(
        phase=0, cancel_at_ns=9
    )
    never = StopSending(phase=0, cancel_at_ns=None)
    assert border.inbound(never) is never
    quota = SetQuota(phase=0, concurrency=2, prefill_concurrency=None)
    assert border.inbound(quota) is quota
    told = border.outbound(facts())
    assert isinstance(told, WorkerFacts)
    assert (told.mono_ns, told.wall_offset_ns) == (AHEAD + 50, 6 * AHEAD)
    assert told.clock is not None
    assert (told.clock.offset_ns, told.clock.bound_ns, told.clock.same_clock) == (AHEAD, 10, False)


def test_every_time_of_a_record_moves_and_no_duration_does() -> None:
    """What did not happen stays missing; chunks move with their records."""
    assert {name for name in RECORD_DTYPE.names or () if name.endswith("_ns")} == {
        *TIME_COLUMNS, "blocked_ns", "dns_ns", "connect_ns", "tls_ns", "delivery_lag_ns",
        "max_gap_ns",
    }  # fmt: skip
    rows = empty_batch(2)
    for name in RECORD_DTYPE.names or ():
        if name.endswith("_ns"):
            rows[name][0] = 3
    chunks = empty_chunks(1)
    chunks["stamp_ns"] = 4
    given = RecordBatch(
        worker=0, epoch=0, batch_seq=0, rows=2, data=rows.tobytes(), messages={},
        chunks=chunks.tobytes(),
    )  # fmt: skip
    moved = shifted(given, -5)
    first, second = np.frombuffer(moved.data, RECORD_DTYPE)
    for name in RECORD_DTYPE.names or ():
        if name.endswith("_ns"):
            assert first[name] == (-2 if name in TIME_COLUMNS else 3), name
            assert second[name] == MISSING
    (chunk,) = np.frombuffer(moved.chunks, CHUNK_DTYPE)
    assert (chunk["stamp_ns"], chunk["stamp_lower_ns"]) == (-1, MISSING)
    assert shifted(given, 0) is given


def test_one_clock_has_no_offset_until_an_exchange_contradicts(clock: Clock) -> None:
    """What is the same by definition is not measured into something else by a noisy exchange."""
    estimate = ClockEstimate(drift_max=0.0)
    estimate.add(ClockExchange(0, 8, 8, 10))
    border = ClockBorder(estimate, clock, same_clock=True)
    assert border.inbound(begin(0, 100)) == begin(0, 100)
    assert (border.facts().bound_ns, border.facts().same_clock) == (0, True)
    estimate.add(ClockExchange(0, AHEAD, AHEAD, 10))
    told = border.inbound(begin(1, AHEAD + 100))
    assert isinstance(told, BeginPhase)
    assert told.start_ns == 105
    assert not border.facts().same_clock
