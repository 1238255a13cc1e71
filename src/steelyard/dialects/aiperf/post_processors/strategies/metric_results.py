"""Metrics of requests, as histograms."""

from steelyard.runtime.otel.metric_results import MetricResultsStrategy

__all__ = ["MetricResultsStrategy"]
