"""`profile_export.csv`: the table of metrics, one row each."""

import csv
import io
from pathlib import Path

from steelyard.domain.bench.document import metric_document
from steelyard.domain.bench.ports import RunView
from steelyard.runtime.files import write_atomic

FILE_NAME = "profile_export.csv"


class CsvMetricsExporter:
    """Writes tag, header, unit, all statistics, count and error bar; empty where there is none."""

    def export(self, view: RunView) -> list[str]:
        """Write the file; return its path.

        Raises:
            FileError: it can't be written.
        """
        path = Path(view.directory) / FILE_NAME
        out = io.StringIO()
        writer: csv.DictWriter[str] | None = None
        for tag, metric in view.summary.metrics.items():
            row = {"tag": tag} | {
                name: value["non_finite"] if isinstance(value, dict) else value
                for name, value in metric_document(metric).items()
            }
            if writer is None:
                writer = csv.DictWriter(out, list(row))
                writer.writeheader()
            writer.writerow(row)
        write_atomic(path, out.getvalue().encode())
        return [str(path)]
