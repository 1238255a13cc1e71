"""The console whose subclasses only set class attributes: the core's `MetricsTable`."""

from steelyard.domain.bench.ports import RunView as ExporterConfig
from steelyard.runtime.metrics_table import ConsoleDisabledError as ConsoleExporterDisabled
from steelyard.runtime.metrics_table import MetricsTable as ConsoleMetricsExporter

__all__ = ["ConsoleExporterDisabled", "ConsoleMetricsExporter", "ExporterConfig"]
