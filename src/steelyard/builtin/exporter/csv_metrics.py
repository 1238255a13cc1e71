"""`profile_export.csv`: the table of metrics, one row each."""

import csv
import io
from pathlib import Path

from steelyard.domain.bench.document import metric_document
from steelyard.domain.bench.ports import RunView
from steelyard.domain.bench.summary import MetricSummary
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
        columns = ["tag", *metric_document(MetricSummary(tag="", header="", unit=""))]
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        for tag, metric in view.summary.metrics.items():
            shown = metric_document(metric).items()
            row = {name: v["non_finite"] if isinstance(v, dict) else v for name, v in shown}
            writer.writerow({"tag": tag, **row})
        write_atomic(path, out.getvalue().encode())
        return [str(path)]
