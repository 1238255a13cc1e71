"""Records as a Parquet file, by DuckDB: pages in, one file out, in memory that stays flat.

Each page is a Parquet file of its own first, and all of them are then read as one: a table would
lie in memory as a whole, or make the writing fail where it may not.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

from steelyard.domain.bench.export_columns import ExportColumns
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.runtime.scratch import no_room

MEMORY_LIMIT = "32MB"
"""What does not fit lies in the scratch directory meanwhile."""

_SQL_TYPES = {
    "<i8": "BIGINT",
    "<i4": "INTEGER",
    "<i2": "SMALLINT",
    "|i1": "TINYINT",
    "|b1": "BOOLEAN",
}
_FULL = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,  # a commit that did not reach the disk
    duckdb.FatalException,  # what every call after that says
)
# Version 2 has deltas: stamps take a quarter of the bytes and less time. Nearly every value of a
# stamp is new, so the search for repeated ones ends early; nobody looks single rows up by them.
_COPY = (
    "COPY records_export TO $path (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192, "
    "PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 256, WRITE_BLOOM_FILTER false)"
)
_COPY_PAGE = (
    "COPY page TO $path (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 8192, "
    "DICTIONARY_SIZE_LIMIT 1, WRITE_BLOOM_FILTER false)"
)


def write_parquet(
    path: Path,
    pages: Callable[[], Iterable[np.ndarray]],
    columns: ExportColumns,
    scratch: Path,
    target: Path,
) -> None:
    """Write rows of `RECORD_DTYPE` in export columns; null where something did not happen.

    Args:
        path: of the file.
        pages: yields the rows, from the start each time.
        columns: how they are exported.
        scratch: a directory for what does not fit into memory.
        target: what errors call the file.

    Raises:
        FileError: the disk is full.
    """
    with (
        TemporaryDirectory(dir=scratch) as directory,
        spilling_database(scratch, target) as connection,
    ):
        _write_pages(connection, pages, columns, Path(directory))
        shown = ", ".join(f"{sql} AS {name}" for name, sql in _expressions(columns).items())
        connection.table("records_whole").project(shown).create_view("records_export")
        connection.execute(_COPY, {"path": str(path)})


@contextmanager
def spilling_database(scratch: Path, target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty database that keeps in the directory `scratch` what memory can't hold.

    Raises:
        FileError: the block met the end of the disk; `target` is what the error names.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": 1,
        "temp_directory": str(scratch / "spill"),
        # Nothing here may reach for the network.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with (
        _storage_errors(target),
        duckdb.connect(":memory:", config=config) as connection,
    ):
        yield connection


def _write_pages(
    connection: duckdb.DuckDBPyConnection,
    pages: Callable[[], Iterable[np.ndarray]],
    columns: ExportColumns,
    directory: Path,
) -> None:
    """Write what varies, page by page, and make `records_whole`, which has all columns."""
    types = _sql_types(columns)
    same = _same_in_all(pages(), columns)
    varying = [name for name in types if name not in same]
    files: list[str] = []
    for page in pages():
        arrays = _arrays(page, columns)
        files.append(str(directory / f"{len(files)}.parquet"))
        connection.register("page", {name: np.ascontiguousarray(arrays[name]) for name in varying})
        connection.execute(_COPY_PAGE, {"path": files[-1]})
        connection.unregister("page")
    alike = [f"CAST({value} AS {types[name]}) AS {name}" for name, value in same.items()]
    written = connection.read_parquet(files) if files else _no_rows(connection, types)
    written.project(", ".join([*varying, *alike])).create_view("records_whole")


def _no_rows(
    connection: duckdb.DuckDBPyConnection, types: dict[str, str]
) -> duckdb.DuckDBPyRelation:
    fields = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in types.items())
    return connection.sql(f"SELECT {fields} WHERE false")


def _arrays(page: np.ndarray, columns: ExportColumns) -> dict[str, np.ndarray]:
    recorded = {name: page[name] for name in RECORD_DTYPE.names or ()}
    return recorded | columns.computed_arrays(page)


def _sql_types(columns: ExportColumns) -> dict[str, str]:
    arrays = _arrays(np.empty(0, dtype=RECORD_DTYPE), columns)
    return {name: _SQL_TYPES[array.dtype.str] for name, array in arrays.items()}


def _same_in_all(pages: Iterable[np.ndarray], columns: ExportColumns) -> dict[str, int]:
    """Return the columns that hold one number in all rows: half of them, in most runs.

    A table has at least one column, so the index of the schedule is never among them.
    """
    same: dict[str, int] | None = None
    for page in pages:
        arrays = _arrays(page, columns)
        if same is None:
            same = {name: int(array[0]) for name, array in arrays.items()}
            del same["schedule_index"]
        same = {name: value for name, value in same.items() if (arrays[name] == value).all()}
    return same or {}


def _expressions(columns: ExportColumns) -> dict[str, str]:
    """Return the SQL of each export column: what `ExportColumns.lists` does, for a table.

    A test holds the two together.
    """
    names = columns.names
    run = _literal(names.run_id)
    made = {
        "x_request_id": f"{run} || '-p' || phase || '-' || schedule_index || "
        "CASE WHEN turn > 0 THEN '.' || turn ELSE '' END || '-' || attempt",
        "host_id": _literal(names.host_id),
        "session_id": f"{run} || '-s' || nullif(session, -1)",
    }
    made |= {name: _lookup(names.of(name), name) for name in columns.named}
    flags = {"clock_step"} | {n for n in columns.numbers if RECORD_DTYPE[n] == np.bool_}
    return {
        name: made.get(name) or (name if name in flags else f"nullif({name}, -1)")
        for name in columns.order
    }


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _lookup(names: Iterable[str], column: str) -> str:
    """SQL for the name at a 0-based number; null for one that has no name, such as MISSING."""
    return f"list_extract([{', '.join(map(_literal, names))}]::VARCHAR[], {column} + 1)"


@contextmanager
def _storage_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except _FULL as error:
        next_step = "Free some space, or choose another directory."
        raise no_room(target, _reason_in(str(error)), next_step) from error


def _reason_in(text: str) -> str:
    """Return the system's words, the last part of what DuckDB says: `Could not write "x": why`."""
    if (start := text.find("{")) >= 0:
        with suppress(ValueError, KeyError, TypeError):
            text = json.loads(text[start:])["exception_message"]
    return text.partition("\n")[0].rpartition(": ")[2]
