"""The reference page of the metrics, made from what each says of itself."""

from typing import Any

from steelyard.domain.bench.metrics import MetricFlags, flags_of, group_of
from steelyard.runtime.plugin_host import PluginHost

_INTRO = """# Metrics

<!-- Made from the code by `make docs`; a test holds the two together. -->

Every metric has one definition: the class that computes it states tag, unit, direction, formula
and source, and this page is made from them. Tags are the keys of `metrics` in
`profile_export.json`. Warm-up is in none of them. Failed and cancelled requests are in none of the
distributions but those marked *all requests*.

Percentiles are exact, whatever the number of requests (linear interpolation between order
statistics); `std` is the sample's standard deviation, with n - 1. Metrics whose tag ends in
`_adjusted` count each failed request as one that never ended: a percentile that falls among them is
`{"value": null, "non_finite": "+inf"}` in JSON and `never` on the terminal, where they are only
shown when requests failed.

Receive stamps are the kernel's where the transport has them. Requests in flight while the wall
clock was set have no reliable receive time: they are marked `clock_step` in the exported records,
counted in a note, and left out of everything that needs such a time.

With `--slice-duration`, `profile_export_timeslices.json` and `.csv` have the same metrics for each
slice of the profiling phases. A request belongs to the slice in which it was sent, or was meant to
be sent if it never was; what was in flight counts in every slice that it touches. The last slice is
marked incomplete when the load ended within it; slices in which nothing was in flight are left out.
A report has at most 10,000 slices.

`--show-trace-timing` shows the HTTP phases on the terminal; `--export-http-trace` adds
`sending_ns`, `waiting_ns` and `receiving_ns` to the exported records, which have the other phases.
"""

_TITLES = {"http": "HTTP phases"}
_MARKS = {
    MetricFlags.STREAMING_ONLY: "streaming",
    MetricFlags.PRODUCES_TOKENS_ONLY: "token output",
    MetricFlags.REPLAY_ONLY: "replayed traces",
    MetricFlags.GOODPUT: "goodput objectives",
    MetricFlags.INCLUDES_FAILURES: "all requests",
}


def metrics_page(host: PluginHost) -> str:
    """Return the page as Markdown, a table per group.

    Raises:
        PluginError: a metric can't be made.
    """
    groups: dict[str, list[Any]] = {}
    for spec in host.specs("metric"):
        metric = host.create("metric", spec.name)
        groups.setdefault(group_of(metric), []).append(metric)
    lines = [_INTRO.rstrip()]
    for group, metrics in groups.items():
        lines += ["", f"## {_TITLES.get(group, group.capitalize())}", ""]
        lines += ["| Tag | Name | Unit | Better | Formula | Source | Only, or over |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += map(_row, metrics)
    return "\n".join(lines) + "\n"


def _row(metric: Any) -> str:
    flags = flags_of(metric)
    marks = ", ".join(word for flag, word in _MARKS.items() if flag in flags)
    better = "larger" if metric.larger_is_better else "smaller"
    cells = (
        f"`{metric.tag}`", metric.header, metric.unit, better, metric.definition, metric.source,
        marks,
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
