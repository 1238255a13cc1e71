"""Each metric of each request, as an observation of a histogram."""

from steelyard.domain.bench.streaming import MetricRecordsData, ResultData, StrategyContext


class MetricResultsStrategy:
    """Takes the metrics of requests.

    Args:
        context: what they are told through.
    """

    def __init__(self, context: StrategyContext) -> None:
        self._context = context

    def supports(self, record_data: ResultData) -> bool:
        """Tell whether these are the metrics of a request."""
        return isinstance(record_data, MetricRecordsData)

    async def process(self, record_data: ResultData) -> None:
        """Observe every value; a list is as many observations."""
        if not isinstance(record_data, MetricRecordsData):
            return
        attributes = self._context.build_record_attributes(record_data)
        for name, value in record_data.metrics.items():
            numbers = self._context.coerce_metric_values(name, value)
            if not numbers:
                continue
            histogram = await self._context.get_or_create_histogram(name)
            for number in numbers:
                histogram.record(number, attributes)
