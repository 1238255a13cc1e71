"""The metrics of a run: made from plugins, asked batch by batch, dropped by name when they fail."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import MetricFlags, flags_of, succeeded
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import AdjustedMetric, ChunkMetric, RecordMetric, RunMetric
from steelyard.domain.bench.records import StampSource
from steelyard.domain.bench.selection import Distribution
from steelyard.domain.bench.summarize import describe_metric, provenance, single
from steelyard.domain.bench.summary import MetricSummary
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.value_store import ValueStore


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


def _beside_the_point(host: PluginHost, plan: Plan) -> MetricFlags:
    """Return the flags of metrics that can't have a value in such a run: they are not asked."""
    flags = MetricFlags.NONE
    if not plan.endpoint.streaming:
        flags |= MetricFlags.STREAMING_ONLY
    if not any(phase.fixed_schedule for phase in plan.phases):
        flags |= MetricFlags.REPLAY_ONLY
    name = plan.endpoint.type
    if name in host.names("endpoint"):
        endpoint = host.spec("endpoint", name).metadata
        if not endpoint.get("produces_tokens", True):
            flags |= MetricFlags.PRODUCES_TOKENS_ONLY
    return flags


class MetricSet:
    """Every metric plugin that works, by kind of value. `failures` names those that do not.

    Args:
        host: has the plugins.
        plan: metrics that can't have a value in its run are named, but never asked.
    """

    def __init__(self, host: PluginHost, plan: Plan) -> None:
        self._border = host.border
        self._skipped = _beside_the_point(host, plan)
        self._all: dict[str, Any] = {}
        self._described: dict[str, MetricSummary] = {}
        self.record: dict[str, RecordMetric] = {}
        self.chunk: dict[str, ChunkMetric] = {}
        self.run: dict[str, RunMetric] = {}
        self.adjusted: dict[str, str] = {}
        self.bounds: dict[str, StampBound] = {}
        self.failures: dict[str, str] = {}
        for spec in host.specs("metric"):
            if not spec.enabled:
                continue
            try:
                self._take(spec.name, host.create("metric", spec.name))
            except SteelyardError as error:
                self.failures[spec.name] = str(error)

    def _take(self, name: str, metric: Any) -> None:
        tag = str(metric.tag)
        if tag in self._all:
            self.failures[name] = f"Metric '{name}' has the tag '{tag}', which is taken."
            return
        self._all[tag] = metric
        if flags_of(metric) & self._skipped:
            return
        if isinstance(metric, AdjustedMetric):
            self.adjusted[tag] = str(metric.adjusts())
        elif isinstance(metric, RecordMetric):
            self.record[tag] = metric
            if hasattr(metric, "stamp_width"):
                self.bounds[tag] = StampBound()
        elif isinstance(metric, ChunkMetric):
            self.chunk[tag] = metric
        elif isinstance(metric, RunMetric):
            self.run[tag] = metric

    def all(self) -> dict[str, Any]:
        """Return every metric by tag, in the order of their priority."""
        return self._all

    def describe(self, tag: str, numbers: Mapping[str, Any], totals: Totals) -> MetricSummary:
        """Return a metric's summary; what it says of itself is asked once, not for every slice."""
        known = self._described.get(tag)
        if known is None:
            known = self._described[tag] = describe_metric(self._all[tag])
        return msgspec.structs.replace(known, provenance=provenance(known, totals), **numbers)

    def stamp_widths(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Return how wide the stamps of each row are, by tag of the metrics that say so."""
        return {tag: self._ask(tag, self._widths_of(tag), batch) for tag in self.bounds}

    def _widths_of(self, tag: str) -> Callable[[Any], Any]:
        metric: Any = self.record[tag]
        widths: Callable[[Any], Any] = metric.stamp_width
        return widths

    def fresh(self) -> "MetricSet":
        """Return the same metrics without bounds yet, for other rows of the same run."""
        other = copy.copy(self)
        other.bounds = {tag: StampBound() for tag in self.bounds}
        return other

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
                self._bound(tag, batch, counts)
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

    def _bound(self, tag: str, batch: np.ndarray, counted: np.ndarray) -> None:
        widths = self._ask(tag, self._widths_of(tag), batch)
        known = counted & np.isfinite(widths) & (batch["stamp_source"] == StampSource.KERNEL)
        samples = int(np.count_nonzero(known))
        bound = self.bounds[tag]
        bound.total += float(widths[known].sum())
        bound.samples += samples
        bound.unbounded += int(np.count_nonzero(counted)) - samples

    def chunk_values(self, gaps_ns: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of every chunk metric."""
        return {tag: self._ask(tag, m.chunk_values, gaps_ns) for tag, m in self.chunk.items()}

    def run_values(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """Return the value of every run metric; None for one that fails."""
        values: dict[str, float | None] = {}
        for tag, metric in self.run.items():
            try:
                with self._border.crossing(f"metric '{tag}'", "give its value"):
                    values[tag] = metric.value(totals)
            except SteelyardError as error:
                self.failures[tag] = str(error)
                values[tag] = None
        return values


def metric_summaries(
    values: ValueStore,
    metrics: MetricSet,
    totals: Totals,
    instead: Mapping[str, float] | None = None,
) -> dict[str, MetricSummary]:
    """Return the summary of every metric; one that was not asked has no numbers.

    Args:
        values: of all record and chunk metrics.
        metrics: those of the run.
        totals: of the rows that the values are of.
        instead: totals that are known better than from these rows.
    """
    numbers: dict[str, dict[str, Any]] = {}
    for tag in (*metrics.record, *metrics.chunk):
        numbers[tag] = distribution_numbers(values.distribution(tag))
    for tag, bound in metrics.bounds.items():
        numbers[tag]["error_bar"] = bound.mean
        numbers[tag]["error_bar_source"] = "stamps" if bound.mean is not None else ""
    for tag, base in metrics.adjusted.items():
        if base in metrics.record:
            numbers[tag] = distribution_numbers(values.distribution(base, totals.failed))
    for tag, value in metrics.run_values(totals.mapping() | dict(instead or {})).items():
        numbers[tag] = single(value)
    return {tag: metrics.describe(tag, numbers.get(tag, {}), totals) for tag in metrics.all()}


def distribution_numbers(d: Distribution) -> dict[str, Any]:
    """Return a distribution as fields of a `MetricSummary`."""
    named = {f"p{p}": value for p, value in d.percentiles.items()}
    return {"count": d.count, "avg": d.avg, "min": d.min, "max": d.max, "std": d.std, **named}
