"""Phase hooks and result processors in a package of their own: a plugin to copy from."""

from aiperf_example_plugin.hooks import ExampleLoggingHook, ExampleMetricsCollectorHook
from aiperf_example_plugin.processors import (
    ExampleMetricsProcessor,
    ExampleResultsAggregator,
    ProcessingResult,
)

__version__ = "1.0.0"

__all__ = [
    "ExampleLoggingHook",
    "ExampleMetricsCollectorHook",
    "ExampleMetricsProcessor",
    "ExampleResultsAggregator",
    "ProcessingResult",
    "__version__",
]
