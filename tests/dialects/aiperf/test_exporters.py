"""Consoles by class attributes, as document 002 shows them."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from steelyard.dialects.aiperf.common.enums import MetricConsoleGroup, MetricFlags
from steelyard.dialects.aiperf.common.environment import Environment
from steelyard.dialects.aiperf.exporters.console_metrics_exporter import (
    ConsoleExporterDisabled,
    ConsoleMetricsExporter,
    ExporterConfig,
)
from steelyard.dialects.aiperf.exporters.internal_metrics_console_exporter import (
    ConsoleInternalMetricsExporter as OurInternalMetrics,
)
from steelyard.domain.bench.summary import MetricSummary


class ConsoleInternalMetricsExporter(ConsoleMetricsExporter):
    """The document's example, its title our own."""

    title = "[yellow]Internal Metrics[/yellow]"
    require_flags = MetricFlags.INTERNAL
    exclude_flags = MetricFlags.ERROR_ONLY
    console_groups = None

    def _check_enabled(self, exporter_config: ExporterConfig) -> None:
        if not (Environment.DEV.MODE and Environment.DEV.SHOW_INTERNAL_METRICS):
            raise ConsoleExporterDisabled("Internal metrics are not enabled")


class ByGroup(ConsoleMetricsExporter):
    """A table for each group."""

    title = "Metrics"
    console_groups = (MetricConsoleGroup.LATENCY, MetricConsoleGroup.TOKENS)
    split_by_group = True


def metric(tag, flags=MetricFlags.NONE, group="latency"):
    return MetricSummary(
        tag=tag, header=tag, unit="ms", avg=1.0, min=1.0, max=1.0, std=0.0, p50=1.0, p90=1.0,
        p99=1.0, count=3, flags=int(flags), group=group,
    )  # fmt: skip


def view(*metrics) -> Any:
    summary = SimpleNamespace(metrics={m.tag: m for m in metrics}, config={})
    return SimpleNamespace(summary=summary, directory=".")


def text_of(exporter, run):
    out = io.StringIO()
    Console(width=100, file=out).print(exporter.render(run))
    return out.getvalue()


@pytest.fixture
def dev_mode(monkeypatch):
    monkeypatch.setenv("STEELYARD_DEV_MODE", "1")
    monkeypatch.setenv("STEELYARD_DEV_SHOW_INTERNAL_METRICS", "1")


def test_a_gated_console_is_silent_unless_enabled(monkeypatch):
    """`_check_enabled` decides before anything is drawn."""
    monkeypatch.delenv("STEELYARD_DEV_MODE", raising=False)
    with pytest.raises(ConsoleExporterDisabled, match="not enabled"):
        ConsoleInternalMetricsExporter().render(view(metric("lag", MetricFlags.INTERNAL)))


def test_flags_choose_the_metrics(dev_mode):
    """All required flags must be there, none of the excluded."""
    shown = text_of(
        ConsoleInternalMetricsExporter(),
        view(
            metric("send_lag", MetricFlags.INTERNAL),
            metric("latency"),
            metric("failed", MetricFlags.INTERNAL | MetricFlags.ERROR_ONLY),
        ),
    )
    assert "send_lag" in shown
    assert "latency" not in shown
    assert "failed" not in shown


def test_the_defaults_hide_what_is_not_for_everyone():
    """Without attributes: no requirement, and error-only, internal and hidden ones stay away."""
    assert ConsoleMetricsExporter.require_flags == MetricFlags.NONE
    assert ConsoleMetricsExporter.exclude_flags & MetricFlags.ERROR_ONLY
    shown = text_of(
        ConsoleMetricsExporter(),
        view(metric("latency"), metric("failed", MetricFlags.ERROR_ONLY)),
    )
    assert "latency" in shown
    assert "failed" not in shown


def test_groups_choose_and_split(dev_mode):
    """Only the named groups, each with a table of its own."""
    run = view(metric("a"), metric("b", group="tokens"), metric("c", group="throughput"))
    shown = text_of(ByGroup(), run)
    assert "Metrics: latency" in shown
    assert "Metrics: tokens" in shown
    assert "c (ms)" not in shown


def test_our_own_internal_console_is_reachable():
    """The battery behind the document's file name."""
    assert issubclass(OurInternalMetrics, ConsoleMetricsExporter)
    assert OurInternalMetrics.require_flags == MetricFlags.INTERNAL
