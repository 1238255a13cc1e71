"""The tables of a console: which metrics are shown is declared, not coded.

A console subclasses `MetricsTable`, sets class attributes, and is done.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup
from steelyard.domain.bench.ports import RunView
from steelyard.domain.bench.summary import MetricSummary
from steelyard.kernel.errors import SteelyardError

STATISTICS = ("avg", "min", "max", "p50", "p90", "p99", "std")


class ConsoleDisabledError(SteelyardError):
    """A console does not want to be shown for this run; no failure."""


def short_number(value: float | None) -> str:
    """Return a number of either sign in at most six digits and a point; `-` for None."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "never" if value > 0 else "-inf"
    size = abs(value)
    if size < 99_999.5 and value == round(value):
        return f"{value:.0f}"
    for limit, text in (
        (0.0005, f"{value:.0e}"),
        (9.9995, f"{value:.3f}"),
        (99.995, f"{value:.2f}"),
        (999.95, f"{value:.1f}"),
        (99_999.5, f"{value:.0f}"),
        (999_500, f"{value / 1e3:.0f}k"),
        (999_500_000, f"{value / 1e6:.1f}M"),
    ):
        if size < limit:
            return text
    return f"{value:.1e}"


class MetricsTable:
    """Shows metrics in tables, by flags and groups; a latency that never ended is `never`.

    Attributes:
        title: over the table; None shows none.
        require_flags: a metric needs all of these to be shown.
        exclude_flags: a metric with any of these is not shown.
        console_groups: the groups shown, in this order; None shows all, as one table.
        split_by_group: True gives each group with metrics a table of its own.
    """

    title: ClassVar[str | None] = None
    require_flags: ClassVar[MetricFlags] = MetricFlags.NONE
    exclude_flags: ClassVar[MetricFlags] = (
        MetricFlags.ERROR_ONLY
        | MetricFlags.NO_CONSOLE
        | MetricFlags.INTERNAL
        | MetricFlags.EXPERIMENTAL
    )
    console_groups: ClassVar[tuple[MetricGroup, ...] | None] = tuple(MetricGroup)
    split_by_group: ClassVar[bool] = False

    def _check_enabled(self, view: RunView) -> None:
        """Raise `ConsoleDisabledError` to show nothing for this run; the default never does."""

    def selected(self, metrics: Sequence[MetricSummary]) -> list[MetricSummary]:
        """Return the metrics to show, in order: those with samples that the attributes let in.

        What counts failures as infinitely late is only shown when there are failures: without
        any it says what the metric says that it adjusts.
        """
        groups = self.console_groups
        kept = [
            metric
            for metric in metrics
            if metric.count
            and metric.flags & self.require_flags == self.require_flags
            and not metric.flags & self.exclude_flags
            and (groups is None or _place(metric) in groups)
            and (metric.max == math.inf or not metric.adjusts)
        ]
        if groups is None:
            return kept
        return sorted(kept, key=lambda metric: groups.index(_place(metric)))

    def render(self, view: RunView) -> Any:
        """Return the tables as a rich renderable; they fit 80 columns.

        Raises:
            ConsoleDisabledError: this console has nothing to say about this run.
        """
        self._check_enabled(view)
        return Group(*self.tables(view))

    def tables(self, view: RunView) -> Iterator[Any]:
        """Yield distributions as rows of statistics, and single numbers as a list."""
        chosen = self.selected(list(view.summary.metrics.values()))
        spread = [metric for metric in chosen if metric.p50 is not None]
        single = [metric for metric in chosen if metric.p50 is None and metric.avg is not None]
        for title, metrics in self._parts(spread):
            yield _distribution_table(title, metrics)
        if single:
            yield _number_table(single)

    def _parts(
        self, metrics: list[MetricSummary]
    ) -> Iterator[tuple[str | None, list[MetricSummary]]]:
        if not metrics:
            return
        if not self.split_by_group:
            yield self.title, metrics
            return
        for group in dict.fromkeys(metric.group for metric in metrics):
            title = f"{self.title}: {group}" if self.title else group
            yield title, [metric for metric in metrics if metric.group == group]


def _place(metric: MetricSummary) -> MetricGroup:
    """Return where a metric is shown; one of a stranger's own group stands with the requests."""
    known = {str(group): group for group in MetricGroup}
    return known.get(metric.group, MetricGroup.REQUESTS)


def _new_table(title: str | None, *, show_header: bool = True) -> Table:
    return Table(
        title=title,
        box=None,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="bold",
        show_header=show_header,
    )


def _distribution_table(title: str | None, metrics: Sequence[MetricSummary]) -> Table:
    table = _new_table(title)
    bars = any(metric.error_bar is not None for metric in metrics)
    names = ["avg", *(["±"] if bars else []), *STATISTICS[1:]]
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for metric in metrics:
        numbers = [
            short_number(metric.error_bar if name == "±" else getattr(metric, name))
            for name in names
        ]
        table.add_row(Text(f"{metric.header} ({metric.unit})"), *numbers)
    return table


def _number_table(metrics: Sequence[MetricSummary]) -> Table:
    table = _new_table(None, show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for metric in metrics:
        table.add_row(Text(metric.header), short_number(metric.avg), Text(metric.unit))
    return table
