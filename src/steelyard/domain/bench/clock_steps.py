"""Which records a step of the wall clock may have spoilt.

Kernel stamps are CLOCK_REALTIME. They become CLOCK_MONOTONIC by an offset that is sampled; stamps
made between a step of that clock and the next sample are off by the step. Workers report how often
they saw a step, so it is known to lie between two reports, and every kernel-stamped request in
flight meanwhile is suspect.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.domain.bench.records import MISSING, StampSource

_STAMPS = (
    "first_byte_ns", "first_token_ns", "first_output_ns", "second_token_ns", "last_token_ns",
    "end_ns", "stamp_lower_ns", "delivery_lag_ns", "max_gap_ns",
)  # fmt: skip


class ClockSteps:
    """Finds the records that straddle a step.

    Args:
        spans: by worker, the times (CLOCK_MONOTONIC ns) between which a step fell.
    """

    def __init__(self, spans: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        self._spans = {worker: tuple(times) for worker, times in spans.items() if times}

    def __bool__(self) -> bool:
        return bool(self._spans)

    def straddled(self, batch: np.ndarray) -> np.ndarray:
        """Return the mask of kernel-stamped rows in flight when a step fell."""
        hit = np.zeros(batch.size, dtype=bool)
        if not self._spans:
            return hit
        stamped = batch["stamp_source"] == StampSource.KERNEL
        start, end = batch["start_ns"], batch["end_ns"]
        for worker, spans in self._spans.items():
            own = stamped & (batch["worker_id"] == worker)
            for since_ns, until_ns in spans:
                # An end before its own start was stamped by a clock that had gone back.
                reached = (end >= since_ns) | (end < start)
                hit |= own & (start <= until_ns) & reached
        return hit


def without_stamps(batch: np.ndarray, spoilt: np.ndarray) -> np.ndarray:
    """Return the rows with nothing received in those of the mask: no metric can take it up."""
    if not spoilt.any():
        return batch
    cleared = batch.copy()
    for name in _STAMPS:
        cleared[name][spoilt] = MISSING
    return cleared
