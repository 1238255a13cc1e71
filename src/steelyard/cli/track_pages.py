"""What a person sees of runs: tables as wide as they are, without trailing spaces."""

import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from steelyard.domain.track.diff import Difference
from steelyard.domain.track.values import mark_of

GAP = "  "
_PADDED_MAX = 60
"""A column is no wider where nobody folds it; a longer text moves what follows in its own line."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLOURS = {"finished": "green", "failed": "red", "killed": "magenta", "running": "cyan"}


def number_text(value: Any) -> str:
    """Return a number in six digits; one that is not finite by its mark, none as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return mark_of(value) or f"{value:.6g}"
    return str(value)


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows under headings, numbers to the right; on a terminal folded to its width."""
    cells = [[_text(value) for value in row] for row in rows]
    columns = zip(*rows, strict=True) if rows else ([] for _ in headings)
    right = [
        any(isinstance(v, int | float) for v in column)
        and not any(isinstance(v, str) for v in column)
        for column in map(list, columns)
    ]
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return _folded(headings, cells, right)
    widths = [
        min(max(map(len, column)), max(_PADDED_MAX, len(column[0])))
        for column in zip(headings, *cells, strict=True)
    ]
    lines = [
        GAP.join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(headings), *cells]
    ]
    return "\n".join(lines)


def _folded(headings: Sequence[str], cells: list[list[str]], right: list[bool]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    for number, (heading, to_right) in enumerate(zip(headings, right, strict=True)):
        side: Literal["left", "right"] = "right" if to_right else "left"
        # What names the row stays in one piece: people copy it.
        table.add_column(heading, justify=side, overflow="fold", no_wrap=number == 0)
    for row in cells:
        table.add_row(*(Text(cell, _COLOURS.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    with console.capture() as written:
        console.print(table)
    return "\n".join(line.rstrip() for line in written.get().splitlines())


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return one_line(number_text(value))


def one_line(text: str) -> str:
    """Return a text without what would break its line, or tell a terminal what to do."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def runs_page(rows: Sequence[dict[str, Any]], metrics: Sequence[str]) -> str:
    """Return the list of runs, with the last values of `metrics`."""
    if not rows:
        return "No runs. A script makes one with steelyard.track.start_logging(name)."
    headings = ["RUN", "NAME", "PROJECT", "STATUS", "STARTED (UTC)", "SECONDS", *metrics]
    cells = [
        [
            row["run_id"], row["name"], row["project"], row["status"], row["started"],
            row["duration_s"], *(row["metrics"].get(metric) for metric in metrics),
        ]
        for row in rows
    ]  # fmt: skip
    return plain_table(headings, cells)


def run_page(run: dict[str, Any]) -> str:
    """Return one run."""
    lines = [f"{run['name']} ({run['run_id']})", ""]
    facts = {
        "project": run["project"],
        "status": run["status"],
        "started": _text(run["started"]) + " UTC",
        "seconds": number_text(run["duration_s"]) if run["duration_s"] is not None else "",
        "host": run["host_id"],
        "command": run["command"],
        "directory": run["directory"],
        "tags": ", ".join(f"{key}={value}" for key, value in sorted(run["tags"].items())),
        "not written": run["unwritten"] or "",
    }
    lines += [f"  {key}: {one_line(str(value))}" for key, value in facts.items() if value != ""]
    if run["error_type"]:
        lines += ["", one_line(f"Failed by {run['error_type']}: {run['error_message']}")]
        lines += [f"  {one_line(line)}" for line in (run["error_traceback"] or "").splitlines()]
    if run["params"]:
        lines += ["", plain_table(["PARAMETER", "VALUE"], sorted(run["params"].items()))]
    if run["metrics"]:
        names = ["METRIC", "LAST", "STEP", "LOW", "HIGH", "MEAN", "VALUES", "NOT FINITE"]
        keys = ("last", "last_step", "low", "high", "mean", "count", "non_finite")
        rows = [[name, *(m[key] for key in keys)] for name, m in run["metrics"].items()]
        lines += ["", plain_table(names, rows)]
    if run["artifacts"]:
        files = [[a["name"], a["version"], a["size"], a["sha256"]] for a in run["artifacts"]]
        lines += ["", plain_table(["ARTIFACT", "VERSION", "BYTES", "SHA256"], files)]
    if run["mirrors"]:
        names = ["MIRROR", "DELIVERED", "RETRIED", "DROPPED", "KEPT BACK", "SAMPLED", "DONE",
                 "PROBLEM"]  # fmt: skip
        counts = ("delivered", "retried", "dropped", "skipped", "sampled")
        rows = [
            [label, *(place[key] for key in counts), "yes" if place["closed"] else "no",
             place["last_error"]]
            for label, place in run["mirrors"].items()
        ]  # fmt: skip
        lines += ["", plain_table(names, rows)]
    return "\n".join(lines)


def diff_page(words: Sequence[str], rows: Sequence[Difference]) -> str:
    """Return what differs, a line each; how much, for metrics."""
    if not rows:
        return "No difference."
    cells = [
        [row.section, row.name, *row.values, "" if row.change is None else f"{row.change:+.2%}"]
        for row in rows
    ]
    short = [[c[:12] if r[0] == "artifact" and i > 1 and c else c for i, c in enumerate(r)]
             for r in cells]  # fmt: skip
    return plain_table(["", "NAME", *words, "CHANGE"], short)
