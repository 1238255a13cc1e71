"""The result of a run on a terminal: metrics, errors, verdict, where the report lies."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text

from steelyard.domain.bench.metrics import MetricGroup
from steelyard.domain.bench.ports import RunView
from steelyard.domain.bench.summary import Summary, Verdict
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.metrics_table import MetricsTable

_STYLES = {"VALID": "bold green", "SUSPECT": "bold yellow", "INVALID": "bold red"}
_REPORT = "profile_export.json"


class SummaryConsole(MetricsTable):
    """Shows what a person wants to know first; the files have the rest."""

    console_groups: ClassVar[tuple[MetricGroup, ...] | None] = (
        MetricGroup.LATENCY,
        MetricGroup.TOKENS,
        MetricGroup.INSTRUMENT,
        MetricGroup.THROUGHPUT,
        MetricGroup.REQUESTS,
    )

    def render(self, view: RunView) -> Any:
        """Return the whole page as a rich renderable."""
        self._check_enabled(view)
        parts = [
            Text(_heading(view.summary), style="bold"),
            *self.tables(view),
            *_footnotes(view.summary),
            *_errors(view.summary),
            Group(_verdict(view.summary.verdict), _where(view)),
        ]
        spaced = [line for part in parts for line in (Text(""), part)]
        return Group(*spaced[1:])


def _heading(summary: Summary) -> str:
    config, run = summary.config, summary.run
    models = ", ".join(config.get("models", ()))
    endpoint = config.get("endpoint", {})
    urls = ", ".join(endpoint.get("urls", ()))
    way = "streaming" if endpoint.get("streaming") else "not streaming"
    return (
        f"{models} at {urls} ({endpoint.get('type', '?')}, {way}); run {run.run_id}, {run.status}"
    )


def _footnotes(summary: Summary) -> Iterator[Text]:
    lines = []
    run, shown = summary.run, summary.metrics.values()
    sources = {metric.error_bar_source for metric in shown if metric.count}
    if "calibration" in sources:
        lines.append(
            "± is this instrument's own error at such a load (p99), and what this run's stamps "
            f"leave open beyond that; calibrated {_day(run.calibration)}."
        )
    elif "stamps" in sources:
        lines.append("± is what this run's own stamps can be wrong by.")
    if not run.calibration:
        lines.append("Not calibrated; `steelyard calibrate` measures this host's error.")
    counted = {metric.provenance for metric in shown if metric.provenance and metric.count}
    lines += [f"Token counts: {source}." for source in sorted(counted)]
    lines += [f"Note: {note}" for note in run.notes]
    if lines:
        yield Text("\n".join(lines), style="dim")


def _day(calibration: Mapping[str, Any]) -> str:
    made = datetime.fromtimestamp(calibration["made_wall_ns"] / NS_PER_S, tz=UTC)
    return made.date().isoformat()


def _errors(summary: Summary) -> Iterator[Any]:
    if not summary.errors:
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("Errors", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("status", justify="right")
    table.add_column("first seen as", overflow="fold")
    for error in summary.errors:
        # Servers choose these words: they are shown as text, never as markup.
        example = Text(error.example)
        status = "-" if error.status is None else str(error.status)
        table.add_row(error.kind, str(error.count), status, example)
    yield table


def _verdict(verdict: Verdict) -> Text:
    text = Text("Verdict: ")
    text.append(verdict.status, style=_STYLES.get(verdict.status, "bold"))
    for cause in verdict.causes:
        text.append(f"\n  {cause.code}: ", style=_STYLES.get(cause.status, ""))
        text.append(cause.message)
    return text


def _where(view: RunView) -> Text:
    report = Path(view.directory) / _REPORT
    # The page may be printed by `report --export csv`, or with exporters of the user's choice.
    shown = report if report.exists() else Path(view.directory)
    # A path that is cut or folded can be neither clicked nor copied.
    return Text(f"Report: {shown}", overflow="ignore", no_wrap=True)
