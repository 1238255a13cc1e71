"""A summary as the plain data of `profile_export.json`."""

import math
from typing import Any

import msgspec

from steelyard.domain.bench.summary import MetricSummary, Summary

_NUMBERS = (
    "avg", "min", "max", "std", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99",
)  # fmt: skip
_INFINITE = {math.inf: "+inf", -math.inf: "-inf"}


def number_document(value: float | None) -> Any:
    """Return a number as JSON can hold it.

    An infinity, as in percentiles that count failures as never answered, becomes
    `{"value": None, "non_finite": "+inf"}`, which a missing value (None) can't be taken for.
    """
    if value is None or math.isfinite(value):
        return value
    if value in _INFINITE:
        return {"value": None, "non_finite": _INFINITE[value]}
    return None


def metric_document(metric: MetricSummary) -> dict[str, Any]:
    """Return one metric: all numbers by name, None where there is no value."""
    return {
        "unit": metric.unit,
        **{name: number_document(getattr(metric, name)) for name in _NUMBERS},
        "count": metric.count,
        "error_bar": number_document(metric.error_bar),
        "error_bar_source": metric.error_bar_source,
        "header": metric.header,
        "provenance": metric.provenance,
    }


def _plain(value: Any) -> Any:
    """Return what a JSON reader would get: lists for tuples, None for what is not finite."""
    return msgspec.json.decode(msgspec.json.encode(value))


def summary_document(summary: Summary) -> dict[str, Any]:
    """Return the document whose keys others script against, in the order people read."""
    return {
        "schema_version": summary.schema_version,
        "verdict": _plain(summary.verdict),
        "metrics": {tag: metric_document(m) for tag, m in summary.metrics.items()},
        "config": _plain(summary.config),
        "run": _plain(summary.run),
        "errors": _plain(summary.errors),
        "phases": _plain(summary.phases),
        **({"hosts": _plain(summary.hosts)} if summary.hosts else {}),
    }
