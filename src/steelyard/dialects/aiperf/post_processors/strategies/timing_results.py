"""Counts of phases, as counters."""

from steelyard.runtime.otel.timing_results import TimingResultsStrategy

__all__ = ["TimingResultsStrategy"]
