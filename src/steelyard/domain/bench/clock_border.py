"""Where a worker's clock meets the controller's: what comes in is local, what goes out is not.

All of a run is told in the controller's CLOCK_MONOTONIC. A worker on another machine thinks in its
own; this is the one place where times are moved from the one to the other. Every phase keeps the
offset with which it began, so that intended times come back as they went out, to the nanosecond,
and the latencies of a request are the differences that its machine's clock showed. What the clocks
drift apart meanwhile is in the bound that is told with the records.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from steelyard.domain.bench.chunks import CHUNK_DTYPE
from steelyard.domain.bench.clock_offset import ClockEstimate, ClockFacts
from steelyard.domain.bench.messages import (
    BeginPhase,
    GrantLeases,
    Lease,
    RecordBatch,
    StopSending,
    WorkerFacts,
)
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, TIME_COLUMNS

_CHUNK_TIMES = ("stamp_ns", "stamp_lower_ns")


class ClockBorder:
    """Moves the times of messages.

    Args:
        estimate: what has to be added to this machine's times.
        now_ns: this machine's CLOCK_MONOTONIC.
        same_clock: the controller reads the same clock; believed until an exchange says otherwise.
    """

    def __init__(
        self, estimate: ClockEstimate, now_ns: Callable[[], int], *, same_clock: bool
    ) -> None:
        self.estimate = estimate
        self._now_ns = now_ns
        self._told_same = same_clock
        self._offsets: dict[int, int] = {}
        self._phase = -1

    @property
    def same_clock(self) -> bool:
        """Both read one clock, and no exchange contradicts it."""
        low, high = self.estimate.interval_ns(self._now_ns())
        return self._told_same and (not self.estimate.exchanges or low <= 0 <= high)

    def inbound(self, message: msgspec.Struct) -> msgspec.Struct:
        """Return a message to this worker with its times in this machine's clock."""
        if isinstance(message, BeginPhase):
            self._phase = message.phase
            offset = self._offsets[message.phase] = self._current()
            leases = _leases(message.leases, offset)
            return msgspec.structs.replace(
                message, start_ns=message.start_ns - offset, leases=leases
            )
        offset = self._of(self._phase)
        if isinstance(message, GrantLeases):
            return GrantLeases(_leases(message.leases, offset), message.renew_to_ns - offset)
        if isinstance(message, StopSending) and message.cancel_at_ns is not None:
            at_ns = message.cancel_at_ns - offset
            return msgspec.structs.replace(message, cancel_at_ns=at_ns)
        return message

    def outbound(self, message: msgspec.Struct) -> msgspec.Struct:
        """Return a message of this worker with its times in the controller's clock."""
        if isinstance(message, RecordBatch):
            return shifted(message, self._of(message.epoch))
        if isinstance(message, WorkerFacts):
            offset = self._of(self._phase)
            return msgspec.structs.replace(
                message,
                mono_ns=message.mono_ns + offset,
                wall_offset_ns=message.wall_offset_ns - offset,
                clock=self.facts(),
            )
        return message

    def facts(self) -> ClockFacts:
        """Return what is known of the clock, for the offset of the phase at hand."""
        used, known = self._of(self._phase), self.estimate
        same = self.same_clock and used == 0
        drift, drift_bound = (0.0, 0.0) if same else known.drift()
        return ClockFacts(
            offset_ns=used,
            bound_ns=0 if same else known.error_ns(used, self._now_ns()),
            drift_ppm=round(drift, 3),
            drift_bound_ppm=round(drift_bound, 3),
            round_trip_ns=known.round_trip_ns,
            exchanges=known.exchanges,
            jumps=known.jumps,
            same_clock=same,
        )

    def _current(self) -> int:
        return 0 if self.same_clock else self.estimate.offset_ns(self._now_ns())

    def _of(self, phase: int) -> int:
        return self._offsets[phase] if phase in self._offsets else self._current()


def _leases(leases: tuple[Lease, ...], offset_ns: int) -> tuple[Lease, ...]:
    return tuple(
        msgspec.structs.replace(lease, expires_ns=lease.expires_ns - offset_ns) for lease in leases
    )


def shifted(batch: RecordBatch, offset_ns: int) -> RecordBatch:
    """Return a batch whose times are later by `offset_ns`; what did not happen stays missing."""
    if not offset_ns:
        return batch
    rows = np.frombuffer(batch.data, RECORD_DTYPE).copy()
    _move(rows, TIME_COLUMNS, offset_ns)
    table = np.frombuffer(batch.chunks, CHUNK_DTYPE).copy()
    _move(table, _CHUNK_TIMES, offset_ns)
    return msgspec.structs.replace(batch, data=rows.tobytes(), chunks=table.tobytes())


def _move(rows: np.ndarray, columns: tuple[str, ...], offset_ns: int) -> None:
    for name in columns:
        times = rows[name]
        times[times != MISSING] += offset_ns
