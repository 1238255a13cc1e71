"""`profile_export.parquet`: a row per request, failures included."""

from pathlib import Path

from steelyard.domain.bench.ports import RunView

FILE_NAME = "profile_export.parquet"


class ParquetRecordsExporter:
    """Writes the record columns as Parquet; null where something did not happen."""

    def export(self, view: RunView) -> list[str]:
        """Write the file; return its path.

        Raises:
            FileError: it can't be written.
        """
        path = str(Path(view.directory) / FILE_NAME)
        view.write_records(path, "parquet")
        return [path]
