"""The metrics of a run: made from plugins, asked batch by batch, dropped by name when they fail."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import MetricFlags, flags_of, succeeded
from steelyard.domain.bench.ports import ChunkMetric, RecordMetric, RunMetric
from steelyard.domain.bench.records import StampSource
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_host import PluginHost


class StampBound(msgspec.Struct):
    """How far stamps can be off, over the samples of one metric."""

    total: float = 0.0
    samples: int = 0
    unbounded: int = 0

    @property
    def mean(self) -> float | None:
        """The mean width; None when any sample has no bound, or when stamps show no width.

        No width is not no error: the kernel's own part is only known after a calibration.
        """
        return self.total / self.samples if self.total > 0 and not self.unbounded else None


class MetricSet:
    """Every metric plugin that works, by kind of value. `failures` names those that do not."""

    def __init__(self, host: PluginHost) -> None:
        self._border = host.border
        self.record: dict[str, RecordMetric] = {}
        self.chunk: dict[str, ChunkMetric] = {}
        self.run: dict[str, RunMetric] = {}
        self.bounds: dict[str, StampBound] = {}
        self.failures: dict[str, str] = {}
        self.order: list[str] = []
        for spec in host.specs("metric"):
            if not spec.enabled:
                continue
            try:
                self._take(spec.name, host.create("metric", spec.name))
            except SteelyardError as error:
                self.failures[spec.name] = str(error)

    def _take(self, name: str, metric: Any) -> None:
        tag = str(metric.tag)
        if tag in self.order:
            self.failures[name] = f"Metric '{name}' has the tag '{tag}', which is taken."
            return
        self.order.append(tag)
        if isinstance(metric, RecordMetric):
            self.record[tag] = metric
            if hasattr(metric, "stamp_width"):
                self.bounds[tag] = StampBound()
        elif isinstance(metric, ChunkMetric):
            self.chunk[tag] = metric
        elif isinstance(metric, RunMetric):
            self.run[tag] = metric

    def all(self) -> dict[str, Any]:
        """Return every metric by tag, in the order of their priority."""
        kinds: dict[str, Any] = {**self.record, **self.chunk, **self.run}
        return {tag: kinds[tag] for tag in self.order}

    def record_values(self, batch: np.ndarray, totals: Totals) -> dict[str, np.ndarray]:
        """Return the values of every record metric for a batch; NaN where a row does not count."""
        measured = totals.profiling(batch)
        answered = measured & succeeded(batch)
        values: dict[str, np.ndarray] = {}
        for tag, metric in self.record.items():
            all_requests = MetricFlags.INCLUDES_FAILURES in flags_of(metric)
            array = self._ask(tag, metric.values, batch)
            counts = (measured if all_requests else answered) & np.isfinite(array)
            values[tag] = np.where(counts, array, np.nan)
            if tag in self.bounds:
                self._bound(tag, metric, batch[counts])
        return values

    def _ask(self, tag: str, call: Callable[[Any], Any], given: np.ndarray) -> np.ndarray:
        """Return a metric's answer; all NaN, from here on, when it fails or answers wrongly."""
        nothing = np.full(given.size, np.nan)
        if tag in self.failures:
            return nothing
        try:
            with self._border.crossing(f"metric '{tag}'", "give its values"):
                array = np.asarray(call(given), dtype=np.float64)
        except SteelyardError as error:
            self.failures[tag] = str(error)
            return nothing
        if array.shape != (given.size,):
            self.failures[tag] = (
                f"Metric '{tag}' gave values of shape {array.shape} for {given.size} rows."
            )
            return nothing
        return array

    def _bound(self, tag: str, metric: Any, counted: np.ndarray) -> None:
        widths = self._ask(tag, metric.stamp_width, counted)
        stamped = counted["stamp_source"] == StampSource.KERNEL
        known = np.isfinite(widths) & stamped
        bound = self.bounds[tag]
        bound.total += float(widths[known].sum())
        bound.samples += int(known.sum())
        bound.unbounded += int((~known).sum())

    def chunk_values(self, gaps_ns: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of every chunk metric."""
        return {tag: self._ask(tag, m.chunk_values, gaps_ns) for tag, m in self.chunk.items()}

    def run_values(self, totals: Totals) -> dict[str, float | None]:
        """Return the value of every run metric; None for one that fails."""
        values: dict[str, float | None] = {}
        for tag, metric in self.run.items():
            try:
                with self._border.crossing(f"metric '{tag}'", "give its value"):
                    values[tag] = metric.value(totals.mapping())
            except SteelyardError as error:
                self.failures[tag] = str(error)
                values[tag] = None
        return values
