"""Exporters with one fault each, over one that writes the metrics' averages."""

import json
from pathlib import Path
from typing import Any

from steelyard.domain.bench.ports import RunView
from steelyard.testing.contracts.exporter import ExporterSubject


class Averages:
    """Conforms."""

    name = "averages.json"

    def document(self, view: RunView) -> dict[str, Any]:
        """Return what is written."""
        return {tag: metric.avg for tag, metric in view.summary.metrics.items()}

    def export(self, view: RunView) -> list[str]:
        """Write, then rename."""
        target = Path(view.directory, self.name)
        part = target.with_suffix(".part")
        part.write_text(json.dumps(self.document(view)))
        part.replace(target)
        return [str(target)]


class WritesInPlace(Averages):
    """Truncates the file that somebody reads."""

    def export(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        target = Path(view.directory, self.name)
        target.write_text(json.dumps({"time": target.exists(), **self.document(view)}))
        return [str(target)]


class LeavesParts(Averages):
    """Copies instead of renaming."""

    def export(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        files = super().export(view)
        Path(view.directory, "averages.tmp").write_text("{")
        return files


class NeedsMetrics(Averages):
    """Can't be told that a run failed."""

    def document(self, view: RunView) -> dict[str, Any]:
        """As above, with the fault."""
        return {"ttft": view.summary.metrics["time_to_first_token"].avg}


class ClaimsMore(Averages):
    """Returns a file that it did not write."""

    def export(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        return [*super().export(view), str(Path(view.directory, "averages.csv"))]


class WritesNan(Averages):
    """Writes NaN where there is no value."""

    def document(self, view: RunView) -> dict[str, Any]:
        """As above, with the fault."""
        return {**super().document(view), "missing": float("nan")}


class EditsTheRun(Averages):
    """Rounds the rows it was lent."""

    def export(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        for row in view.rows():
            row["start_ns"] = 0
        return super().export(view)


def _subject(cls: Any) -> ExporterSubject:
    return ExporterSubject(cls)


HONEST = _subject(Averages)

SABOTEURS = [
    ("test_a_reader_never_sees_half_a_file", _subject(WritesInPlace)),
    ("test_it_writes_what_it_says_it_wrote", _subject(LeavesParts)),
    ("test_a_run_in_which_all_failed_is_exported_too", _subject(NeedsMetrics)),
    ("test_it_writes_what_it_says_it_wrote", _subject(ClaimsMore)),
    ("test_json_is_json", _subject(WritesNan)),
    ("test_exporting_changes_no_run", _subject(EditsTheRun)),
]
