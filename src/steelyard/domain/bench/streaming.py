"""Results that are streamed while a benchmark runs, and what turns them into telemetry.

A strategy takes one kind of result and tells it through a context, which owns all instruments:
strategies never see an SDK, a queue or each other.
"""

from typing import Any, Protocol, runtime_checkable

import msgspec

from steelyard.domain.bench.messages import PhaseStats


class RecordMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Which request a record tells of."""

    benchmark_phase: str
    worker_id: str = ""
    x_request_id: str = ""
    was_cancelled: bool = False


class MetricRecordsData(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of one request by tag, in their units; a metric of chunks is a list.

    `error` says why the request failed, None when it did not.
    """

    metadata: RecordMetadata
    metrics: dict[str, Any]
    error: str | None = None


ResultData = MetricRecordsData | PhaseStats


class Histogram(Protocol):
    """An instrument of values."""

    def record(self, value: float, attributes: dict[str, Any]) -> None:
        """Take one value; never waits."""


class Counter(Protocol):
    """An instrument of sums."""

    def add(self, value: float, attributes: dict[str, Any]) -> None:
        """Add to the sum; never waits."""


@runtime_checkable
class StrategyContext(Protocol):
    """What a strategy tells its results through."""

    async def get_or_create_histogram(
        self,
        metric_name: str,
        *,
        unit: str | None = None,
        description: str | None = None,
        explicit_bucket_boundaries: tuple[float, ...] | None = None,
    ) -> Histogram:
        """Return the histogram of this name; a name without a unit is a metric's tag."""
        ...

    async def get_or_create_counter(self, metric_name: str, unit: str, description: str) -> Counter:
        """Return the counter of this name, which only grows."""
        ...

    async def get_or_create_up_down_counter(
        self, metric_name: str, unit: str, description: str
    ) -> Counter:
        """Return the counter of this name, which may fall."""
        ...

    def build_record_attributes(self, record: MetricRecordsData) -> dict[str, Any]:
        """Return what tells this record's values from others'."""
        ...

    def build_timing_attributes(self, stats: PhaseStats) -> dict[str, Any]:
        """Return what tells this phase's values from others'."""
        ...

    def coerce_metric_values(self, metric_name: str, metric_value: Any) -> list[float]:
        """Return the finite numbers in a metric's value; none of what is no number."""
        ...

    def calculate_timing_counter_delta(
        self, *, metric_name: str, phase: str, current_value: int
    ) -> int:
        """Return how much a total grew since it was last asked of this phase."""
        ...

    def calculate_timing_gauge_delta(
        self, *, metric_name: str, phase: str, current_value: float
    ) -> float:
        """Return how much a level moved since it was last asked of this phase."""
        ...


@runtime_checkable
class ResultStrategy(Protocol):
    """Turns one kind of result into telemetry."""

    def supports(self, record_data: ResultData) -> bool:
        """Tell whether this is the kind of result that this strategy takes."""
        ...

    async def process(self, record_data: ResultData) -> None:
        """Tell the result through the context; never waits for a receiver, and may raise."""
        ...
