"""`profile_export_timeslices.json` and `.csv`: the metrics of each slice of the run."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

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
            as_csv.write(_csv_line(_COLUMNS))
            lines = _Lines()
            as_json.write(_head(view))
            for number, part in enumerate(view.slices()):
                as_json.write(",\n" if number else "\n")
                documents = {tag: metric_document(metric) for tag, metric in part.metrics.items()}
                as_json.write(_document(part, documents))
                as_csv.writelines(lines.of(part, documents))
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


def _document(part: TimeSlice, documents: dict[str, dict[str, Any]]) -> str:
    document = {
        "timeslice": part.index,
        "start_ns": part.start_ns,
        "end_ns": part.end_ns,
        "is_complete": part.is_complete,
        "metrics": documents,
    }
    # A plugin's number may be numpy's, which is none of JSON's types.
    return msgspec.json.encode(document, enc_hook=float).decode()


class _Lines:
    """Makes the CSV's lines; what a metric is called is quoted once for all slices."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}

    def of(self, part: TimeSlice, documents: dict[str, dict[str, Any]]) -> Iterator[str]:
        complete = "true" if part.is_complete else "false"
        place = f"{part.index},{part.start_ns},{part.end_ns},{complete}"
        for tag, document in documents.items():
            unit = document["unit"]
            name = self._names.get((tag, unit))
            if name is None:
                name = self._names[tag, unit] = _csv_line((tag, unit)).rstrip("\r\n")
            for stat, value in document.items():
                if stat in _WORDS or value is None:
                    continue
                shown = value["non_finite"] if isinstance(value, dict) else value
                yield f"{place},{name},{stat},{shown}\r\n"


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
