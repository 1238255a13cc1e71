"""`profile_export_chunks.parquet`: a row per content chunk, from `--export-level records` on."""

from pathlib import Path

from steelyard.domain.bench.ports import RunView
from steelyard.kernel.errors import UsageError
from steelyard.runtime.chunk_table import write_chunks
from steelyard.runtime.results import read_plan

FILE_NAME = "profile_export_chunks.parquet"


class ChunksParquetExporter:
    """Writes stamps, bounds, kinds and sizes of the chunks as Parquet (zstd)."""

    def export(self, view: RunView) -> list[str]:
        """Write the file; return its path.

        Raises:
            UsageError: the run kept no chunks.
            JournalError: the journal can't be read.
            FileError: it can't be written.
        """
        directory = Path(view.directory)
        plan = read_plan(directory)
        if plan.export_level == "summary":
            raise UsageError(
                "The run kept no stamps of chunks",
                got="--export-level summary",
                expected="--export-level records or raw, when it was made",
            )
        path = directory / FILE_NAME
        write_chunks(directory, plan, path)
        return [str(path)]
