"""How far apart the sends of one release are: sessions that were all meant for one moment."""

import numpy as np

from steelyard.domain.bench.records import MISSING

_ALONE = 1


class Release:
    """The sends that were meant for the start of a phase, folded in any order.

    In a closed loop these are the first sessions of the slots that are open from the start on: all
    workers let them go at one moment of the clock that they share.
    """

    def __init__(self) -> None:
        self._at_ns: int | None = None
        self._count = 0
        self._first_ns = self._last_ns = 0

    def fold(self, batch: np.ndarray) -> None:
        """Take in rows of this phase (`RECORD_DTYPE`)."""
        intended, start = batch["intended_ns"], batch["start_ns"]
        sent = (start != MISSING) & (intended != MISSING) & (batch["turn"] == 0)
        if not sent.any():
            return
        first = int(intended[sent].min())
        if self._at_ns is not None and first > self._at_ns:
            return
        starts = start[sent & (intended == first)]
        least, most = int(starts.min()), int(starts.max())
        if first == self._at_ns:
            least, most = min(least, self._first_ns), max(most, self._last_ns)
            self._count += starts.size
        else:
            self._at_ns, self._count = first, starts.size
        self._first_ns, self._last_ns = least, most

    @property
    def skew_ns(self) -> int | None:
        """From the first of the sends to the last; None when there were not two."""
        return self._last_ns - self._first_ns if self._count > _ALONE else None
