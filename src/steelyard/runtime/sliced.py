"""The time slices of a run: its records sorted by slice in a scratch file, then read one by one.

Sorting by counting needs two passes over the journal and no more memory than a number per slice;
each slice is then folded as a run of its own, so its statistics are as exact.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from steelyard.domain.bench.clock_steps import ClockSteps, without_stamps
from steelyard.domain.bench.metrics import counted_gaps_ns, gaps_per_row, succeeded
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE
from steelyard.domain.bench.slices import SliceGrid, TimeSlice
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.ingest import CHUNK_GAPS, CHUNK_ROWS, Ingest
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.results_metrics import MetricSet, metric_summaries
from steelyard.runtime.scratch import storage_errors
from steelyard.runtime.value_store import ValueStore

_IDLE = 1e-6
"""Less in flight than this is what rounding leaves of sums over the whole run."""
_GAP_DTYPE = np.dtype(np.int64)


class _Sorted:
    """Items in a scratch file, those of a slice together; room for each was counted before."""

    def __init__(self, path: Path, dtype: np.dtype, counts: np.ndarray) -> None:
        self._dtype = dtype
        self._counts = counts
        self._begins = np.cumsum(counts) - counts
        self._filled = np.zeros(counts.size, dtype=np.int64)
        self._file = path.open("w+b")

    def put(self, slices: np.ndarray, items: np.ndarray) -> None:
        """Add items that belong to `slices`; within a slice they keep their order."""
        order = np.argsort(slices, kind="stable")
        found, first, counts = np.unique(slices[order], return_index=True, return_counts=True)
        for number, begin, count in zip(found, first, counts, strict=True):
            self._file.seek((self._begins[number] + self._filled[number]) * self._dtype.itemsize)
            self._file.write(np.ascontiguousarray(items[order[begin : begin + count]]).data)
            self._filled[number] += count

    def of(self, number: int, at_once: int) -> Iterator[np.ndarray]:
        """Yield the items of a slice in parts."""
        begins, count = int(self._begins[number]), int(self._counts[number])
        for first in range(0, count, at_once):
            size = min(at_once, count - first)
            self._file.seek((begins + first) * self._dtype.itemsize)
            yield np.frombuffer(self._file.read(size * self._dtype.itemsize), dtype=self._dtype)

    def close(self) -> None:
        self._file.close()


class SlicedRun:
    """Reads a run slice by slice.

    Args:
        journal: has the records.
        plan: of the run; it says how long a slice is.
        totals: of the whole run.
        metrics: what to compute.
        steps: which rows have stamps that can't be believed.
        scratch: a directory for the sorted records.
    """

    def __init__(
        self,
        journal: JournalReader,
        plan: Plan,
        totals: Totals,
        metrics: MetricSet,
        steps: ClockSteps,
        scratch: Path,
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._totals = totals
        self._metrics = metrics
        self._steps = steps
        self._scratch = scratch

    def slices(self) -> Iterator[TimeSlice]:
        """Yield the slices with something sent or in flight; none when the plan asks for none.

        Raises:
            UsageError: there are too many.
            FileError: there is no room for scratch files.
            JournalError: the journal can't be read.
        """
        if self._plan.slice_s is None:
            return
        grid = SliceGrid(self._totals, self._plan.slice_s)
        if not grid.count:
            return
        with (
            storage_errors(self._scratch.parent),
            tempfile.TemporaryDirectory(dir=self._scratch) as directory,
        ):
            yield from self._sliced(grid, Path(directory))

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield measured rows, the gaps that count, and the row of each."""
        for batch in self._journal.record_batches():
            rows = np.frombuffer(batch.data, dtype=RECORD_DTYPE)
            measured = self._totals.profiling(rows)
            counted = measured & succeeded(rows)
            if self._steps:
                spoilt = self._steps.straddled(rows)
                counted &= ~spoilt
                rows = without_stamps(rows, spoilt)
            gaps, owners = _owned_gaps(rows, np.frombuffer(batch.gaps, dtype=np.int64), counted)
            place = np.cumsum(measured) - 1
            yield rows[measured], gaps, place[owners]

    def _sliced(self, grid: SliceGrid, directory: Path) -> Iterator[TimeSlice]:
        counts = np.zeros((2, grid.count), dtype=np.int64)
        occupancy = grid.occupancy()
        for rows, _, owners in self._parts():
            slices = grid.of(rows)
            counts[0] += np.bincount(slices, minlength=grid.count)
            counts[1] += np.bincount(slices[owners], minlength=grid.count)
            occupancy.add(rows)
        integrals = occupancy.integrals()
        records = _Sorted(directory / "records.bin", RECORD_DTYPE, counts[0])
        gaps = _Sorted(directory / "gaps.i8", _GAP_DTYPE, counts[1])
        try:
            for rows, gaps_ns, owners in self._parts():
                slices = grid.of(rows)
                records.put(slices, rows)
                gaps.put(slices[owners], gaps_ns)
            # A slice in which nothing was sent but something in flight may be a stall: it is shown.
            lively = integrals["busy"] > _IDLE * grid.slice_ns
            for number in np.flatnonzero((counts[0] > 0) | lively).tolist():
                busy = {kind: float(sums[number]) for kind, sums in integrals.items()}
                yield self._slice(grid, number, records, gaps, busy, directory)
        finally:
            records.close()
            gaps.close()

    def _slice(
        self,
        grid: SliceGrid,
        number: int,
        records: _Sorted,
        gaps: _Sorted,
        busy_ns: dict[str, float],
        directory: Path,
    ) -> TimeSlice:
        metrics = self._metrics.fresh()
        totals = Totals(self._plan.phases)
        with tempfile.TemporaryDirectory(dir=directory) as place:
            values = ValueStore(Path(place), (*metrics.record, *metrics.chunk))
            # Rows in the file have lost what a clock step has spoilt already.
            ingest = Ingest(values, metrics, totals, self._plan, ClockSteps({}))
            for rows in records.of(number, CHUNK_ROWS):
                ingest.add_rows(rows)
            for part in gaps.of(number, CHUNK_GAPS):
                ingest.add_gaps(part)
            ingest.flush()
            start_ns, end_ns = grid.bounds_ns(number)
            of_slice = {f"{kind}_s": total / NS_PER_S for kind, total in busy_ns.items()}
            of_slice["decode_s"] = of_slice["busy_s"] - of_slice["prefill_s"]
            of_slice["duration_s"] = (end_ns - start_ns) / NS_PER_S
            summaries = metric_summaries(values, metrics, totals, of_slice)
        return TimeSlice(
            index=number,
            start_ns=start_ns,
            end_ns=end_ns,
            is_complete=end_ns - start_ns == grid.slice_ns,
            metrics={tag: metric for tag, metric in summaries.items() if metric.count},
        )


def _owned_gaps(
    rows: np.ndarray, gaps_ns: np.ndarray, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gaps that count, and the number of the row that each belongs to."""
    nothing = np.empty(0, dtype=np.int64)
    try:
        kept = counted_gaps_ns(rows, gaps_ns, counted)
    except ValueError:
        return nothing, nothing
    owners = np.repeat(np.arange(rows.size), gaps_per_row(rows))
    return kept, owners[np.repeat(counted, gaps_per_row(rows)) & (gaps_ns != MISSING)]
