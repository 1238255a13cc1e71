"""Runs written to a file, or to a stream."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from steelyard.app.track.queries import POINTS, POINTS_ORDER, resolve, show, store_of
from steelyard.app.track.tables import json_value
from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import atomic_path
from steelyard.runtime.track import index

EXPORT_FORMATS = ("csv", "jsonl", "parquet", "json")
STREAM = "-"
"""Stands for the standard output."""


def export(
    words: Sequence[str],
    to: str | Path,
    format: str | None = None,
    *,
    directory: str | Path | None = None,
    force: bool = False,
) -> int:
    """Write runs to a file; return how many rows it has.

    `csv`, `jsonl` and `parquet` have a row per value of a metric; `json` has a document per run,
    as `show` gives it.

    Args:
        words: the runs; all of them when empty.
        to: the file, which is there whole or not at all; `-` for the standard output. A pipe or
            device is written into.
        format: one of `EXPORT_FORMATS`; told by the file's suffix without it.
        directory: the store.
        force: replace a file that is there.

    Raises:
        UsageError: there is no such run or format, or the file is there.
        FileError: the file can't be written.
    """
    target = Path(to)
    chosen = format or target.suffix.removeprefix(".")
    if chosen not in EXPORT_FORMATS:
        raise UsageError(
            "Unknown format" if chosen else f"The format of {to} can't be told by its name",
            got=chosen or None,
            expected="one of " + ", ".join(EXPORT_FORMATS),
        )
    if target.is_file() and not force and not is_stream(to):
        raise UsageError(
            "This file is there already",
            got=str(to),
            expected="a new file, or leave to replace it (--force)",
        )
    with index.opened(store_of(directory)) as connection:
        ids = [resolve(connection, word) for word in words]
        if not words:
            ids = [row[0] for row in connection.execute("SELECT run_id FROM runs").fetchall()]
    with _written(to, chosen) as temporary:
        if chosen == "json":
            documents = [json_value(show(run_id, directory=directory)) for run_id in ids]
            text = json.dumps(documents, indent=2, ensure_ascii=False) + "\n"
            temporary.write_text(text, encoding="utf-8")
            return len(documents)
        with index.opened(store_of(directory)) as connection:
            return _write_points(connection, ids, temporary, chosen)


def is_stream(to: str | Path) -> bool:
    """Tell whether this is written into, rather than made: `-`, a pipe, a terminal, a device."""
    path = Path(to)
    return _is_stdout(to) or (path.exists() and not path.is_file() and not path.is_dir())


def _is_stdout(to: str | Path) -> bool:
    """What it leads to may be a file, which is not to be replaced under it."""
    return str(to) in {STREAM, "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"}


@contextmanager
def _written(to: str | Path, format: str) -> Iterator[Path]:
    """Yield a path to write to; what is there at the end is what `to` gets."""
    if not is_stream(to):
        with atomic_path(Path(to)) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="steelyard-export-") as directory:
        temporary = Path(directory) / f"runs.{format}"
        yield temporary
        with temporary.open("rb") as source:
            if _is_stdout(to):
                sys.stdout.flush()
                shutil.copyfileobj(source, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                with Path(to).open("wb") as stream:
                    shutil.copyfileobj(source, stream)


def _write_points(
    connection: duckdb.DuckDBPyConnection, ids: list[str], path: Path, format: str
) -> int:
    sql = f"{POINTS} WHERE run_id IN (SELECT unnest($ids)){POINTS_ORDER}"
    if format == "jsonl":
        return _write_lines(connection, sql, ids, path)
    options = "FORMAT parquet, COMPRESSION zstd" if format == "parquet" else "FORMAT csv, HEADER"
    copied = connection.execute(
        f"COPY ({sql}) TO $path ({options})", {"ids": ids, "path": str(path)}
    ).fetchall()
    return int(copied[0][0])


def _write_lines(
    connection: duckdb.DuckDBPyConnection, sql: str, ids: list[str], path: Path
) -> int:
    """DuckDB writes NaN into JSON, which has none."""
    cursor = connection.execute(sql, {"ids": ids})
    names = [column[0] for column in cursor.description or ()]
    count = 0
    with path.open("w", encoding="utf-8") as file:
        while rows := cursor.fetchmany(10_000):
            for row in rows:
                document = {k: json_value(v) for k, v in zip(names, row, strict=True)}
                if document["non_finite"]:
                    document["value"] = None
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
            count += len(rows)
    return count
