"""The time slices of a run: its records sorted by slice in a scratch file, then read in order.

Sorting by counting needs two passes over the journal and no more memory than a number per slice.
Slices with few requests are then worked on many at a time, since what a metric costs is mostly
being asked; one with many is folded as a run of its own. Either way statistics are exact.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.domain.bench.clock_steps import ClockSteps, without_stamps
from steelyard.domain.bench.grouped import grouped_distributions
from steelyard.domain.bench.metrics import counted_gaps_ns, gaps_per_row, succeeded
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, StampSource
from steelyard.domain.bench.slices import SliceGrid, TimeSlice
from steelyard.domain.bench.summarize import single
from steelyard.domain.bench.summary import MetricSummary
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.ingest import CHUNK_GAPS, CHUNK_ROWS, Ingest, meets_objectives
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.results_metrics import (
    MetricSet,
    StampBound,
    distribution_numbers,
    metric_summaries,
)
from steelyard.runtime.scratch import storage_errors
from steelyard.runtime.value_store import ValueStore

_IDLE = 1e-6
"""Less in flight than this is what rounding leaves of sums over the whole run."""
_GROUP_MAX = 512
"""Slices worked on together: their totals and statistics take some MB."""
_NOTHING: dict[str, Any] = {"count": 0}
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

    def gathered(self, group: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the items of several slices, and of each item the slice's place in `group`."""
        sizes = self._counts[group]
        parts = [part for number in group for part in self.of(number, CHUNK_GAPS)]
        data = b"".join(part.tobytes() for part in parts)
        return np.frombuffer(data, dtype=self._dtype), np.repeat(np.arange(len(group)), sizes)

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
            shown = np.flatnonzero((counts[0] > 0) | lively)
            sliced = _Sliced(grid, records, gaps, integrals)
            for group in _groups(shown, counts):
                self._journal.check()
                if len(group) > 1 or counts[0, group[0]] <= CHUNK_ROWS:
                    yield from self._together(sliced, group)
                else:
                    yield self._alone(sliced, group[0], directory)
        finally:
            records.close()
            gaps.close()

    def _together(self, sliced: "_Sliced", group: list[int]) -> Iterator[TimeSlice]:
        """Yield slices with few requests: each metric is asked once for all of them."""
        metrics = self._metrics.fresh()
        rows, owners = sliced.records.gathered(group)
        gaps, gap_owners = sliced.gaps.gathered(group)
        values = metrics.record_values(rows, self._totals)
        parts = np.split(rows, np.searchsorted(owners, np.arange(1, len(group))))
        totals = [Totals(self._plan.phases) for _ in group]
        for of_slice, part in zip(totals, parts, strict=True):
            of_slice.fold(part)
        if self._plan.goodput:
            good = meets_objectives(self._plan.goodput, rows, values, metrics)
            for number, of_slice in enumerate(totals):
                of_slice.fold_good(good[owners == number])
        failed = np.array([of_slice.failed for of_slice in totals])
        none = np.zeros_like(failed)
        columns = {tag: grouped_distributions(v, owners, none) for tag, v in values.items()}
        for tag, base in metrics.adjusted.items():
            if base in metrics.record:
                columns[tag] = grouped_distributions(values[base], owners, failed)
        for tag, of_gaps in metrics.chunk_values(gaps).items():
            columns[tag] = grouped_distributions(of_gaps, gap_owners, none)
        bounds = _bounds(metrics, rows, values, owners, len(group))
        for number, index in enumerate(group):
            numbers = {tag: distribution_numbers(found[number]) for tag, found in columns.items()}
            for tag, found in bounds.items():
                numbers[tag]["error_bar"] = found[number].mean
                numbers[tag]["error_bar_source"] = "stamps" if found[number].mean else ""
            known = totals[number].mapping() | sliced.of_slice(index)
            for tag, value in metrics.run_values(known).items():
                numbers[tag] = single(value)
            yield sliced.slice(
                index,
                {
                    tag: metrics.describe(tag, numbers[tag], totals[number])
                    for tag in metrics.all()
                    if numbers.get(tag, _NOTHING)["count"]
                },
            )

    def _alone(self, sliced: "_Sliced", number: int, directory: Path) -> TimeSlice:
        """Return a slice with more requests than are held at once."""
        metrics = self._metrics.fresh()
        totals = Totals(self._plan.phases)
        with tempfile.TemporaryDirectory(dir=directory) as place:
            values = ValueStore(Path(place), (*metrics.record, *metrics.chunk))
            # Rows in the file have lost what a clock step has spoilt already.
            ingest = Ingest(values, metrics, totals, self._plan, ClockSteps({}))
            for rows in sliced.records.of(number, CHUNK_ROWS):
                self._journal.check()
                ingest.add_rows(rows)
            for part in sliced.gaps.of(number, CHUNK_GAPS):
                ingest.add_gaps(part)
            ingest.flush()
            summaries = metric_summaries(values, metrics, totals, sliced.of_slice(number))
        return sliced.slice(
            number, {tag: metric for tag, metric in summaries.items() if metric.count}
        )


class _Sliced:
    """A run whose records and gaps lie sorted by slice."""

    def __init__(
        self, grid: SliceGrid, records: _Sorted, gaps: _Sorted, integrals: dict[str, np.ndarray]
    ) -> None:
        self._grid = grid
        self._integrals = integrals
        self.records = records
        self.gaps = gaps

    def of_slice(self, number: int) -> dict[str, float]:
        """Return the totals that are known from what was in flight, not from what was sent."""
        start_ns, end_ns = self._grid.bounds_ns(number)
        known = {
            f"{kind}_s": float(sums[number]) / NS_PER_S for kind, sums in self._integrals.items()
        }
        known["decode_s"] = known["busy_s"] - known["prefill_s"]
        known["duration_s"] = (end_ns - start_ns) / NS_PER_S
        return known

    def slice(self, number: int, metrics: dict[str, MetricSummary]) -> TimeSlice:
        start_ns, end_ns = self._grid.bounds_ns(number)
        return TimeSlice(
            index=number,
            start_ns=start_ns,
            end_ns=end_ns,
            is_complete=end_ns - start_ns == self._grid.slice_ns,
            metrics=metrics,
        )


def _groups(numbers: np.ndarray, counts: np.ndarray) -> Iterator[list[int]]:
    """Yield slices in groups that are worked on together; one may be more than is held at once."""
    group: list[int] = []
    rows = gaps = 0
    for number in numbers.tolist():
        more_rows, more_gaps = counts[:, number].tolist()
        full = rows + more_rows > CHUNK_ROWS or gaps + more_gaps > CHUNK_GAPS
        if group and (full or len(group) == _GROUP_MAX):
            yield group
            group, rows, gaps = [], 0, 0
        group.append(number)
        rows, gaps = rows + more_rows, gaps + more_gaps
    if group:
        yield group


def _bounds(
    metrics: MetricSet,
    rows: np.ndarray,
    values: dict[str, np.ndarray],
    owners: np.ndarray,
    count: int,
) -> dict[str, list[StampBound]]:
    """Return how far stamps can be off in each of `count` slices, by metric."""
    stamped = rows["stamp_source"] == StampSource.KERNEL
    found = {}
    for tag, widths in metrics.stamp_widths(rows).items():
        counted = ~np.isnan(values[tag])
        known = counted & np.isfinite(widths) & stamped
        sums = np.bincount(owners[known], widths[known], minlength=count).tolist()
        samples = np.bincount(owners[known], minlength=count).tolist()
        others = np.bincount(owners[counted & ~known], minlength=count).tolist()
        found[tag] = [StampBound(*each) for each in zip(sums, samples, others, strict=True)]
    return found


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
