"""How a phase stands: its totals as counters, its levels as counters that may fall."""

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.streaming import ResultData, StrategyContext

PREFIX = "steelyard.timing."
TOTALS = {
    "requests.sent": "sent",
    "requests.completed": "completed",
    "requests.errors": "failed",
    "requests.cancelled": "cancelled",
    "requests.lost": "lost",
    "sessions.sent": "sessions",
}
LEVELS = {"requests.in_flight": "in_flight"}


class TimingResultsStrategy:
    """Takes the counts of phases.

    Args:
        context: what they are told through.
    """

    def __init__(self, context: StrategyContext) -> None:
        self._context = context

    def supports(self, record_data: ResultData) -> bool:
        """Tell whether these are the counts of a phase."""
        return isinstance(record_data, PhaseStats)

    async def process(self, record_data: ResultData) -> None:
        """Tell what changed since the phase's counts came last."""
        if not isinstance(record_data, PhaseStats):
            return
        attributes = self._context.build_timing_attributes(record_data)
        phase = record_data.phase
        for name, field in TOTALS.items():
            grown = self._context.calculate_timing_counter_delta(
                metric_name=name, phase=phase, current_value=getattr(record_data, field)
            )
            if grown > 0:
                counter = await self._context.get_or_create_counter(
                    PREFIX + name, "1", f"Total of a phase: {field}"
                )
                counter.add(grown, attributes)
        for name, field in LEVELS.items():
            moved = self._context.calculate_timing_gauge_delta(
                metric_name=name, phase=phase, current_value=float(getattr(record_data, field))
            )
            if moved:
                level = await self._context.get_or_create_up_down_counter(
                    PREFIX + name, "1", f"Level of a phase: {field}"
                )
                level.add(moved, attributes)
