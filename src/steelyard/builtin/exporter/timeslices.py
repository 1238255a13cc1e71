"""`profile_export_timeslices.json` and `.csv`: the metrics of each slice of the run."""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from steelyard.domain.bench.document import metric_document
from steelyard.domain.bench.ports import RunView
from steelyard.domain.bench.slices import TimeSlice
from steelyard.runtime.files import atomic_path

JSON_NAME = "profile_export_timeslices.json"
CSV_NAME = "profile_export_timeslices.csv"
_COLUMNS = ("timeslice", "start_ns", "end_ns", "is_complete", "tag", "unit", "stat", "value")
_WORDS = frozenset({"unit", "header", "provenance", "error_bar_source"})


class TimeslicesExporter:
    """Writes both files in one pass, slice by slice: memory does not grow with their number.

    The CSV has a row per slice, metric and statistic, as tables of data are read best.
    """

    def export(self, view: RunView) -> list[str]:
        """Write the files; return their paths.

        Raises:
            UsageError: the run has too many slices.
            FileError: they can't be written.
        """
        paths = [Path(view.directory) / name for name in (JSON_NAME, CSV_NAME)]
        with ExitStack() as stack:
            as_json, as_csv = (
                stack.enter_context(
                    stack.enter_context(atomic_path(path)).open("w", newline="", encoding="utf-8")
                )
                for path in paths
            )
            rows = csv.writer(as_csv)
            rows.writerow(_COLUMNS)
            as_json.write(_head(view))
            for number, part in enumerate(view.slices()):
                as_json.write(",\n" if number else "\n")
                as_json.write(json.dumps(_document(part), allow_nan=False, ensure_ascii=False))
                rows.writerows(_rows(part))
            as_json.write("\n]}\n")
        return [str(path) for path in paths]


def _head(view: RunView) -> str:
    summary = view.summary
    facts = {
        "schema_version": summary.schema_version,
        "run_id": summary.run.run_id,
        "slice_duration_s": summary.config.get("slice_s"),
        "wall_offset_ns": summary.run.wall_offset_ns,
    }
    return json.dumps(facts, allow_nan=False)[:-1] + ', "timeslices": ['


def _document(part: TimeSlice) -> dict[str, Any]:
    return {
        "timeslice": part.index,
        "start_ns": part.start_ns,
        "end_ns": part.end_ns,
        "is_complete": part.is_complete,
        "metrics": {tag: metric_document(metric) for tag, metric in part.metrics.items()},
    }


def _rows(part: TimeSlice) -> Iterator[tuple[Any, ...]]:
    complete = "true" if part.is_complete else "false"
    place = (part.index, part.start_ns, part.end_ns, complete)
    for tag, metric in part.metrics.items():
        for stat, value in metric_document(metric).items():
            if stat in _WORDS or value is None:
                continue
            shown = value["non_finite"] if isinstance(value, dict) else value
            yield (*place, tag, metric.unit, stat, shown)
