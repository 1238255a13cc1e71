"""The strategies that come with Steelyard, and what one's own are made of."""

from steelyard.dialects.aiperf.post_processors.strategies.core import (
    OTelResultData,
    OTelResultsStrategyProtocol,
    OTelStrategyContextProtocol,
)
from steelyard.dialects.aiperf.post_processors.strategies.metric_results import (
    MetricResultsStrategy,
)
from steelyard.dialects.aiperf.post_processors.strategies.timing_results import (
    TimingResultsStrategy,
)

__all__ = [
    "MetricResultsStrategy",
    "OTelResultData",
    "OTelResultsStrategyProtocol",
    "OTelStrategyContextProtocol",
    "TimingResultsStrategy",
]
