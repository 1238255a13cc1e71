"""The processor of streamed results under the names of its private parts, which tests may use."""

from typing import Any

from steelyard.domain.bench.streaming import ResultData
from steelyard.runtime.otel.exporting import ExportSettings
from steelyard.runtime.otel.results import STRATEGIES, OtelResults

__all__ = ["OTelMetricsResultsProcessor"]


class OTelMetricsResultsProcessor(OtelResults):
    """Hands results to strategies and their telemetry to another process, or to a queue.

    Args:
        url: the collector's full URL for metrics.
        strategies: classes, or other makers that take the context.
        event_queue: takes events instead of the process: a bounded queue of `multiprocessing`, say.
        resource_attributes: of every value.
    """

    def __init__(
        self,
        url: str = "",
        *,
        strategies: Any = STRATEGIES,
        event_queue: Any = None,
        resource_attributes: dict[str, str] | None = None,
    ) -> None:
        settings = ExportSettings(
            endpoint_url=url, resource_attributes=dict(resource_attributes or {})
        )
        super().__init__(settings, strategies, queue=event_queue)

    @property
    def _fanout_queue(self) -> Any:
        return self.fanout.queue

    @property
    def _fanout_sent_events(self) -> int:
        return self.fanout.sent

    @property
    def _fanout_dropped_events(self) -> int:
        return self.fanout.dropped

    async def process_record(self, record_data: ResultData) -> None:
        """Hand a result to the strategies that support it."""
        await self.process_result(record_data)

    def _queue_fanout_event(self, event_type: str, payload: dict[str, Any]) -> None:
        self.emit(event_type, payload)

    def _drop_oldest_fanout_event(self) -> bool:
        return self.fanout.drop_oldest()

    def _record_fanout_drop(self, message: str) -> None:
        self.fanout.record_drop(message)
