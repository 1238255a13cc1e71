"""The console of internal metrics."""

from steelyard.builtin.console.internal import InternalConsole as ConsoleInternalMetricsExporter

__all__ = ["ConsoleInternalMetricsExporter"]
