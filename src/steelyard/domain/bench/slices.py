"""A run cut into slices of equal length, so that one sees how it went and not only how it was."""

import msgspec
import numpy as np

from steelyard.domain.bench.occupancy import Occupancy
from steelyard.domain.bench.records import MISSING
from steelyard.domain.bench.summary import MetricSummary
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.errors import UsageError
from steelyard.kernel.units import NS_PER_S

SLICES_MAX = 10_000
"""Their files have about 40 kB a slice; close to three hours in seconds, a day in 10 s is less."""


class TimeSlice(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of the requests that were sent within one slice.

    Attributes:
        index: its place, counted from the first send; slices with nothing in flight are left
            out.
        start_ns, end_ns: CLOCK_MONOTONIC; the last one ends with the load.
        is_complete: it is as long as the others.
    """

    index: int
    start_ns: int
    end_ns: int
    is_complete: bool
    metrics: dict[str, MetricSummary]


class SliceGrid:
    """Where the slices of a run lie: from the first send of its profiling phases to their last end.

    A request belongs to the slice in which it was sent; one that never was, to the slice in which
    it was meant to be.

    Args:
        totals: of the whole run.
        slice_s: how long a slice is.

    Raises:
        UsageError: there would be more than `SLICES_MAX`.
    """

    def __init__(self, totals: Totals, slice_s: float) -> None:
        begins, ends = totals.profiling_span_ns
        self.origin_ns, self.last_ns = begins, ends
        self.slice_ns = max(round(slice_s * NS_PER_S), 1)
        # A load that ends with a slice begins no other.
        self.count = max(-(-(ends - begins) // self.slice_ns), 1) if ends > begins else 0
        if self.count > SLICES_MAX:
            raise UsageError(
                "The run has too many time slices",
                got=f"{self.count} of {slice_s:g} s",
                expected=f"at most {SLICES_MAX}",
                next_step="Choose a longer --slice-duration.",
            )

    def of(self, batch: np.ndarray) -> np.ndarray:
        """Return the slice of each row of a profiling phase."""
        start, intended = batch["start_ns"], batch["intended_ns"]
        sent = np.where(start != MISSING, start, intended)
        slices = (sent - self.origin_ns) // self.slice_ns
        return np.asarray(np.clip(slices, 0, max(self.count - 1, 0)))

    def occupancy(self) -> Occupancy:
        """Return the integrals over these slices, empty."""
        return Occupancy(self.origin_ns, self.slice_ns, self.count)

    def bounds_ns(self, index: int) -> tuple[int, int]:
        """Return when a slice begins and ends."""
        begins = self.origin_ns + index * self.slice_ns
        return begins, min(begins + self.slice_ns, self.last_ns)
