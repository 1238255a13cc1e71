"""How the instrument itself did, for those who build it."""

from typing import ClassVar

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup
from steelyard.domain.bench.ports import RunView
from steelyard.runtime.metrics_table import ConsoleDisabledError, MetricsTable

OPTION = "show_internal_metrics"


class InternalConsole(MetricsTable):
    """Shows metrics flagged INTERNAL when the plan's option `show_internal_metrics` is set."""

    title: ClassVar[str | None] = "Internal metrics"
    require_flags: ClassVar[MetricFlags] = MetricFlags.INTERNAL
    exclude_flags: ClassVar[MetricFlags] = MetricFlags.ERROR_ONLY
    console_groups: ClassVar[tuple[MetricGroup, ...] | None] = None

    def _check_enabled(self, view: RunView) -> None:
        if not view.summary.config.get("options", {}).get(OPTION):
            raise ConsoleDisabledError(
                "Internal metrics are not shown", next_step=f"Set the option {OPTION}."
            )
