"""Record batches folded into totals and metric values, some thousand rows at a time."""

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.domain.bench.clock_steps import ClockSteps, without_stamps
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.metrics import counted_gaps_ns, succeeded
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.domain.bench.totals import Totals
from steelyard.runtime.results_metrics import MetricSet
from steelyard.runtime.value_store import ValueStore

CHUNK_ROWS = 4096
"""Rows worked on at once: 1 MB, which stays in the CPU's cache while every metric looks at it."""
CHUNK_GAPS = 65_536


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows of `RECORD_DTYPE` as one array; as plain bytes they are copied much faster."""
    plain = np.dtype((np.void, RECORD_DTYPE.itemsize))
    return np.concatenate([part.view(plain) for part in parts]).view(RECORD_DTYPE)


def meets_objectives(
    goodput: Mapping[str, float],
    records: np.ndarray,
    values: Mapping[str, np.ndarray],
    metrics: MetricSet,
) -> np.ndarray:
    """Return which rows meet every objective; a missing value can't be claimed to."""
    good = succeeded(records)
    for tag, objective in goodput.items():
        metric = metrics.record.get(tag)
        if metric is None:
            return np.zeros(records.size, dtype=bool)
        met = values[tag] >= objective if metric.larger_is_better else values[tag] <= objective
        good &= met
    return np.asarray(good)


class Ingest:
    """Folds the records of a run, or of a part of it.

    Args:
        store: takes the values.
        metrics: make them.
        totals: are folded.
        plan: has the objectives.
        steps: tell which rows have stamps that can't be believed.

    Attributes:
        batches: how many came.
        gaps_unattributed: how many gaps belong to no row.
        stepped: how many rows straddle a step of the wall clock.
    """

    def __init__(
        self, store: ValueStore, metrics: MetricSet, totals: Totals, plan: Plan, steps: ClockSteps
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._totals = totals
        self._goodput = plan.goodput
        self._steps = steps
        self._waiting: list[np.ndarray] = []
        self._rows = 0
        self._gaps: list[np.ndarray] = []
        self._gap_count = 0
        self.batches = 0
        self.gaps_unattributed = 0
        self.stepped = 0

    def take(self, batch: RecordBatch) -> None:
        """Take in a batch of a journal."""
        self.batches += 1
        self._totals.fold_messages(batch.messages)
        records = np.frombuffer(batch.data, dtype=RECORD_DTYPE)
        self.add_rows(records)
        gaps_ns = np.frombuffer(batch.gaps, dtype=np.int64)
        if gaps_ns.size and self._metrics.chunk:
            self._take_gaps(records, gaps_ns)

    def add_rows(self, records: np.ndarray) -> None:
        """Take in rows of `RECORD_DTYPE`."""
        self._waiting.append(records)
        self._rows += records.size
        if self._rows >= CHUNK_ROWS:
            self._flush_records()

    def add_gaps(self, gaps_ns: np.ndarray) -> None:
        """Take in the gaps of rows that count."""
        self._gaps.append(gaps_ns)
        self._gap_count += gaps_ns.size
        if self._gap_count >= CHUNK_GAPS:
            self._flush_gaps()

    def _take_gaps(self, records: np.ndarray, gaps_ns: np.ndarray) -> None:
        counted = self._totals.profiling(records) & succeeded(records)
        if self._steps:
            counted &= ~self._steps.straddled(records)
        try:
            kept = counted_gaps_ns(records, gaps_ns, counted)
        except ValueError:
            self.gaps_unattributed += gaps_ns.size
            return
        self.add_gaps(kept)

    def flush(self) -> None:
        """Fold what still waits."""
        self._flush_records()
        self._flush_gaps()

    def _flush_records(self) -> None:
        if not self._rows:
            return
        records = joined(self._waiting)
        self._waiting.clear()
        self._rows = 0
        if self._steps:
            spoilt = self._steps.straddled(records)
            self.stepped += int(np.count_nonzero(spoilt))
            records = without_stamps(records, spoilt)
        self._totals.fold(records)
        values = self._metrics.record_values(records, self._totals)
        self._store.add(values)
        if self._goodput:
            good = meets_objectives(self._goodput, records, values, self._metrics)
            self._totals.fold_good(good & self._totals.profiling(records))

    def _flush_gaps(self) -> None:
        if not self._gap_count:
            return
        self._store.add(self._metrics.chunk_values(np.concatenate(self._gaps)))
        self._gaps.clear()
        self._gap_count = 0
