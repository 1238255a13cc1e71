"""Which limit held an open loop's sends back, told from its records.

A limit that is never reached holds nobody back. Whether it was is seen in a window of rows, which
are recorded in about the order in which they ended: memory stays flat, and a limit of more than a
window's requests is never said to be reached.
"""

from collections import Counter

import numpy as np

from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING

_WINDOW = 2048
"""Rows of the batch before that are looked at again: what spans both is seen whole."""

CONCURRENCY = "--concurrency"
PREFILL = "--prefill-concurrency"


class HeldBack:
    """Folds the rows of a phase whose schedule some limit may hold back.

    Args:
        phase: an open loop with one limit or two.
    """

    def __init__(self, phase: PhasePlan) -> None:
        limits = {CONCURRENCY: phase.concurrency, PREFILL: phase.prefill_concurrency}
        self._limits = {flag: limit for flag, limit in limits.items() if limit}
        self._peaks: dict[str, Counter[int]] = {flag: Counter() for flag in self._limits}
        self._before: dict[int, np.ndarray] = {}

    def fold(self, batch: np.ndarray) -> None:
        """Take in rows of the phase, as they were recorded."""
        sent = batch[(batch["start_ns"] != MISSING) & (batch["end_ns"] != MISSING)]
        for worker in np.unique(sent["worker_id"]).tolist():
            own = sent[sent["worker_id"] == worker]
            first, end = own["first_token_ns"], own["end_ns"]
            times = np.stack([own["start_ns"], end, np.where(first != MISSING, first, end)])
            if worker in self._before:
                times = np.concatenate([self._before[worker], times], axis=1)
            self._before[worker] = times[:, -_WINDOW:]
            for flag in self._limits:
                until = times[2] if flag == PREFILL else times[1]
                peaks = self._peaks[flag]
                peaks[worker] = max(peaks[worker], _peak(times[0], until))

    def reached(self) -> tuple[str, ...]:
        """Return the flags of the limits whose share some worker used in full."""
        return tuple(
            flag
            for flag, limit in self._limits.items()
            if (peaks := self._peaks[flag]) and max(peaks.values()) >= -(-limit // len(peaks))
        )


def _peak(starts: np.ndarray, ends: np.ndarray) -> int:
    """Return how many of these spans overlap at most; one that ends makes room first."""
    times = np.concatenate([ends, starts])
    steps = np.repeat([-1, 1], starts.size)
    return int(np.cumsum(steps[np.argsort(times, kind="stable")]).max(initial=0))
