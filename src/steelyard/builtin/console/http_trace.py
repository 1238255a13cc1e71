"""Where the time of a request went on its way, for those who ask."""

from typing import ClassVar

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup
from steelyard.domain.bench.ports import RunView
from steelyard.runtime.metrics_table import ConsoleDisabledError, MetricsTable


class HttpTraceConsole(MetricsTable):
    """Shows the phases of the HTTP requests when the plan says `show_trace_timing`."""

    title: ClassVar[str | None] = "HTTP phases"
    require_flags: ClassVar[MetricFlags] = MetricFlags.HTTP_TRACE
    exclude_flags: ClassVar[MetricFlags] = MetricFlags.ERROR_ONLY
    console_groups: ClassVar[tuple[MetricGroup, ...] | None] = None

    def _check_enabled(self, view: RunView) -> None:
        if not view.summary.config.get("show_trace_timing"):
            raise ConsoleDisabledError(
                "The HTTP phases are not shown", next_step="Ask for --show-trace-timing."
            )
