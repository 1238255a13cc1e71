"""Records in a scratch file of their own: pages in, exports out, in memory that stays flat.

The file is made from the journal when somebody first asks for records, and goes with the view.
"""

import csv
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.domain.bench.export_columns import ExportColumns
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.json_lines import json_lines
from steelyard.runtime.parquet_file import write_parquet
from steelyard.runtime.scratch import storage_errors

PAGE_ROWS = 4096
"""Rows turned into Python's values at once: about 10 MB of them."""
PARQUET_ROWS = 8192
"""Rows in a row group: 4 MB as recorded, a tenth of that written."""

FORMATS = ("parquet", "jsonl", "csv")


class RecordStore:
    """All rows of a run, in the order of the journal.

    Args:
        path: of the scratch file.
        journal: has the rows.
        columns: how they are exported.
        rows: how many there are.
    """

    def __init__(
        self,
        path: Path,
        journal: JournalReader,
        columns: ExportColumns,
        rows: int,
    ) -> None:
        self._path = path
        self._journal = journal
        self._columns = columns
        self.rows = rows

    @functools.cached_property
    def _file(self) -> Path:
        with storage_errors(self._path.parent.parent), self._path.open("wb") as file:
            for batch in self._journal.record_batches():
                file.write(batch.data)
        return self._path

    def read(self, first: int, last: int) -> np.ndarray:
        """Return rows `first..last` (exclusive) as recorded.

        Raises:
            OSError: the scratch file can't be written or read.
        """
        self._journal.check()
        size = RECORD_DTYPE.itemsize
        with self._file.open("rb") as file:
            file.seek(first * size)
            return np.frombuffer(file.read(max(last - first, 0) * size), dtype=RECORD_DTYPE)

    def pages(self, rows: int = PAGE_ROWS) -> Iterator[np.ndarray]:
        """Yield all rows as recorded, so many at once."""
        for first in range(0, self.rows, rows):
            yield self.read(first, first + rows)

    def page(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return rows `first..last` (exclusive) in export columns."""
        lists = self._columns.lists(self.read(first, last))
        names = tuple(lists)
        return [dict(zip(names, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def page_columns(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Return rows `first..last` (exclusive) as arrays, masked where values are missing."""
        return self._columns.arrays(self.read(first, last))

    def copy_to(self, path: Path, format: str) -> None:
        """Write all rows to `path`; `format` is one of `FORMATS`.

        Raises:
            OSError: it can't be written.
        """
        if format == "jsonl":
            self._write_lines(path)
        elif format == "csv":
            self._write_table(path)
        else:
            write_parquet(path, self.pages(PARQUET_ROWS), self._columns)

    def _write_lines(self, path: Path) -> None:
        with path.open("wb") as file:
            for page in self.pages():
                file.write(json_lines(self._columns.order, *self._columns.split(page)))

    def _write_table(self, path: Path) -> None:
        words = {True: "true", False: "false"}
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns.order)
            for page in self.pages():
                lists = self._columns.lists(page)
                for name, values in lists.items():
                    if values and isinstance(values[0], bool):
                        lists[name] = [words[value] for value in values]
                writer.writerows(zip(*lists.values(), strict=True))
