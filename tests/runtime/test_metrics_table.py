"""Which metrics a console shows, and how a number fits its column."""

import io

import pytest
from rich.console import Console

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup
from steelyard.domain.bench.summary import MetricSummary
from steelyard.runtime.metrics_table import MetricsTable, short_number
from steelyard.testing.contracts.sample_run import SampleRun


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"), (0, "0"), (0.0, "0"), (20.0, "20"), (0.0471, "0.047"), (0.00012, "1e-04"),
        (5.53849, "5.538"), (24.457, "24.46"), (374.72, "374.7"), (5152.4, "5152"),
        (99999.4, "99999"), (123456, "123k"), (5_957_123, "6.0M"), (2.5e9, "2.5e+09"),
        (-24.457, "-24.46"), (9.9996, "10.00"), (99.996, "100.0"), (999.96, "1000"),
        (float("inf"), "never"),
    ],
)  # fmt: skip
def test_a_number_keeps_at_least_two_digits_and_fits(value, expected):
    assert short_number(value) == expected


def metric(tag, *, group=MetricGroup.LATENCY, flags=MetricFlags.NONE, **numbers):
    given = {"avg": 1.5, "p50": 1.5, "count": 3} | numbers
    return MetricSummary(tag=tag, header=tag, unit="ms", group=group, flags=int(flags), **given)


SHOWN = [
    metric("plain"),
    metric("tokens", group=MetricGroup.TOKENS),
    metric("internal", flags=MetricFlags.INTERNAL),
    metric("hidden", flags=MetricFlags.NO_CONSOLE),
    metric("internal_error", flags=MetricFlags.INTERNAL | MetricFlags.ERROR_ONLY),
    metric("empty", count=0, avg=None, p50=None),
    metric("strange", group="a stranger's"),
]


class Internal(MetricsTable):
    require_flags = MetricFlags.INTERNAL
    exclude_flags = MetricFlags.ERROR_ONLY
    console_groups = None


class TokensFirst(MetricsTable):
    console_groups = (MetricGroup.TOKENS, MetricGroup.LATENCY)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (MetricsTable, ["plain", "tokens", "strange"]),
        (Internal, ["internal"]),
        (TokensFirst, ["tokens", "plain"]),
    ],
)
def test_flags_and_groups_decide_what_is_shown_and_where(table, expected):
    assert [m.tag for m in table().selected(SHOWN)] == expected


class Split(MetricsTable):
    title = "Bench"
    split_by_group = True


def rendered(table, width=80):
    view = SampleRun("run")
    view.summary.metrics.clear()
    view.summary.metrics.update({m.tag: m for m in SHOWN})
    out = Console(width=width, file=io.StringIO(), color_system=None)
    with out.capture() as capture:
        out.print(table.render(view))
    return capture.get()


def test_each_group_can_have_a_table_of_its_own():
    text = rendered(Split())
    assert text.index("Bench: latency") < text.index("plain (ms)")
    assert text.index("Bench: tokens") < text.index("tokens (ms)")


def test_the_error_bar_has_a_column_when_there_is_one():
    assert "±" not in rendered(MetricsTable())
    SHOWN.append(metric("barred", error_bar=0.0204))
    try:
        text = rendered(MetricsTable())
    finally:
        SHOWN.pop()
    assert "±" in text
    assert "0.020" in text
