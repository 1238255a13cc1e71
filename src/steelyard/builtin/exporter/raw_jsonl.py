"""`profile_export_raw.jsonl`: each request and response as they were, at `--export-level raw`."""

from pathlib import Path

from steelyard.domain.bench.ports import RunView
from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.raw_join import count_lines, has_spools, join_spools

FILE_NAME = "profile_export_raw.jsonl"


class RawJsonlExporter:
    """Joins what the workers spooled; once joined, the file stays as it is."""

    def export(self, view: RunView) -> list[str]:
        """Write the file; return its path.

        Raises:
            UsageError: the run kept no requests and responses.
            FileError: the file can't be written, or lacks lines because a spool could not be.
        """
        directory = Path(view.directory)
        path = directory / FILE_NAME
        if has_spools(directory):
            lines = join_spools(directory, path)
        elif path.exists():
            lines = count_lines(path)
        else:
            raise UsageError(
                "The run kept no requests and responses",
                expected="--export-level raw, when it was made",
            )
        records = len(view.rows())
        if lines < records:
            raise FileError(
                f"{path} lacks lines: the disk refused them during the run",
                got=f"{lines} lines",
                expected=f"{records}",
            )
        return [str(path)]
