"""What a strategy and its context can do: the core's own protocols."""

from steelyard.domain.bench.streaming import ResultData as OTelResultData
from steelyard.domain.bench.streaming import ResultStrategy as OTelResultsStrategyProtocol
from steelyard.domain.bench.streaming import StrategyContext as OTelStrategyContextProtocol

__all__ = ["OTelResultData", "OTelResultsStrategyProtocol", "OTelStrategyContextProtocol"]
