"""Metrics with one fault each, over a latency and a rate."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from steelyard.domain.bench.records import MISSING
from steelyard.testing.contracts.metric import MetricSubject


class Latency:
    """Conforms: per request."""

    tag = "sample_latency"
    header = "Sample Latency"
    unit = "ms"
    larger_is_better = False
    definition = "end_ns - start_ns"
    source = "this kit"

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return milliseconds, NaN for a request without an end."""
        took = (batch["end_ns"] - batch["start_ns"]) / 1e6
        return np.where(batch["end_ns"] == MISSING, np.nan, took)


class Rate:
    """Conforms: per run."""

    tag = "sample_rate"
    header = "Sample Rate"
    unit = "requests/s"
    larger_is_better = True
    definition = "requests / duration_s"
    source = "this kit"

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return requests per second."""
        duration_s = totals.get("duration_s")
        return totals.get("requests", 0.0) / duration_s if duration_s else None


class Gap:
    """Conforms: per gap."""

    tag = "sample_gap"
    header = "Sample Gap"
    unit = "ms"
    larger_is_better = False
    definition = "time between two chunks"
    source = "this kit"

    def chunk_values(self, gaps_ns: np.ndarray) -> np.ndarray:
        """Return milliseconds."""
        return gaps_ns / 1e6


class BlankIsZero(Latency):
    """Subtracts blanks: a request that never ended took 0 ms."""

    def values(self, batch: np.ndarray) -> np.ndarray:
        """As above, with the fault."""
        took: np.ndarray = (batch["end_ns"] - batch["start_ns"]) / 1e6
        return took


class Centres(Latency):
    """Subtracts the batch's first value."""

    def values(self, batch: np.ndarray) -> np.ndarray:
        """As above, with the fault."""
        values = super().values(batch)
        return np.asarray(values - values[:1])


class SortsInPlace(Latency):
    """Sorts the batch it was lent."""

    def values(self, batch: np.ndarray) -> np.ndarray:
        """As above, with the fault."""
        batch["end_ns"].sort()
        return super().values(batch)


class DropsRows(Latency):
    """Returns values of answered requests only."""

    def values(self, batch: np.ndarray) -> np.ndarray:
        """As above, with the fault."""
        values = super().values(batch)
        return values[values > 70]


class Undefined(Latency):
    """Says nothing about what it means."""

    definition = ""


class Overflows(Rate):
    """Overflows."""

    def value(self, totals: Mapping[str, float]) -> float | None:
        """As above, with the fault."""
        duration_s = totals.get("duration_s", 0.0)
        return totals.get("requests", 0.0) * 1e308 * 10 if duration_s else None


class NeedsEveryKey(Rate):
    """Raises KeyError when nothing was counted."""

    def value(self, totals: Mapping[str, float]) -> float | None:
        """As above, with the fault."""
        return totals["requests"] / (totals["duration_s"] or 1.0)


class SumsGaps(Gap):
    """Returns running sums."""

    def chunk_values(self, gaps_ns: np.ndarray) -> np.ndarray:
        """As above, with the fault."""
        return np.cumsum(gaps_ns) / 1e6


class Adjusted:
    """An honest metric that repeats another."""

    tag, header, unit, larger_is_better = "latency_adjusted", "Latency, adjusted", "ms", False
    definition, source = "latency, with +inf for each failed request", "records"

    def adjusts(self) -> str:
        """Return the other's tag."""
        return "latency"


class AdjustsItself(Adjusted):
    """Repeats its own values, which it has not."""

    def adjusts(self) -> str:
        """As above, with the fault."""
        return self.tag


def _subject(cls: Any) -> MetricSubject:
    return MetricSubject(cls)


HONEST = [_subject(Latency), _subject(Rate), _subject(Gap), _subject(Adjusted)]

SABOTEURS = [
    ("test_what_did_not_happen_has_no_value", _subject(BlankIsZero)),
    ("test_rows_do_not_know_each_other", _subject(Centres)),
    ("test_rows_do_not_know_each_other", _subject(SortsInPlace)),
    ("test_every_request_has_a_row", _subject(DropsRows)),
    ("test_it_is_documented", _subject(Undefined)),
    ("test_a_run_has_one_value", _subject(Overflows)),
    ("test_totals_that_do_not_support_it_give_none", _subject(NeedsEveryKey)),
    ("test_every_gap_has_a_value", _subject(SumsGaps)),
    ("test_what_it_adjusts_is_another_metric", _subject(AdjustsItself)),
]
