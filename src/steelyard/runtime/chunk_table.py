"""From a run's journal to a Parquet file with a row per content chunk; memory stays flat."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import numpy as np

from steelyard.domain.bench.chunks import CHUNK_DTYPE, ChunkKind
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.records import RECORD_DTYPE, StampSource
from steelyard.runtime.files import atomic_path
from steelyard.runtime.journal import JournalReader, journal_directory
from steelyard.runtime.parquet_file import spilling_database
from steelyard.runtime.scratch import make_scratch, scratch_places

INSERT_ROWS = 65_536

_COLUMNS = {
    "schedule_index": "BIGINT", "attempt": "SMALLINT", "turn": "INTEGER", "phase": "SMALLINT",
    "stamp_source": "TINYINT", "chunk_index": "INTEGER", "stamp_ns": "BIGINT",
    "stamp_lower_ns": "BIGINT", "coalesced": "BOOLEAN", "kind": "TINYINT", "tokens": "INTEGER",
    "bytes": "INTEGER",
}  # fmt: skip
# The request id is kernel.ids.make_request_id, in SQL; a test holds the two together.
_COPY = (
    "COPY (SELECT $run || '-p' || phase || '-' || schedule_index || "
    "CASE WHEN turn > 0 THEN '.' || turn ELSE '' END || '-' || attempt AS x_request_id, "
    "list_extract($names, phase + 1) AS phase, schedule_index, turn, attempt, "
    "chunk_index, stamp_ns, stamp_lower_ns, "
    "list_extract($sources, stamp_source + 1) AS stamp_source, coalesced, "
    "list_extract($kinds, kind + 1) AS kind, nullif(tokens, -1) AS tokens, "
    "nullif(bytes, -1) AS bytes FROM chunks) TO $path "
    "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536, PARQUET_VERSION v2)"
)
_OF_RECORD = ("schedule_index", "attempt", "turn", "phase", "stamp_source")
_OF_CHUNK = tuple(name for name in _COLUMNS if name not in _OF_RECORD)


def write_chunks(directory: Path, plan: Plan, path: Path) -> int:
    """Write the chunks of the run in `directory` to `path`, by rename; return how many.

    Columns: `x_request_id, phase, schedule_index, turn, attempt, chunk_index` (from 0),
    `stamp_ns, stamp_lower_ns` (CLOCK_MONOTONIC), `stamp_source, coalesced, kind` (`content` or
    `reasoning`), `tokens` (null where the chunk was not counted by itself), `bytes`.

    Raises:
        JournalError: the journal can't be read.
        FileError: there is no room for the file, or for scratch files.
    """
    reader = JournalReader(journal_directory(directory))
    size = sum(file.stat().st_size for file in journal_directory(directory).glob("*.journal"))
    scratch = make_scratch(scratch_places(directory, size)[0])
    try:
        with spilling_database(scratch, path) as connection:
            rows = _fill(connection, _inserts(reader))
            with atomic_path(path) as temporary:
                _copy(connection, plan, temporary)
            return rows
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _inserts(reader: JournalReader) -> Iterator[np.ndarray]:
    """Yield chunks with the columns of their requests, enough at once to be worth an insert."""
    waiting: list[np.ndarray] = []
    rows = 0
    for batch in reader.record_batches():
        if batch.chunks:
            waiting.append(_joined(batch))
            rows += len(waiting[-1])
        if rows >= INSERT_ROWS:
            yield np.concatenate(waiting)
            waiting.clear()
            rows = 0
    if rows:
        yield np.concatenate(waiting)


def _joined(batch: RecordBatch) -> np.ndarray:
    """Return the chunks of a batch with what their records say of the request."""
    records = np.frombuffer(batch.data, RECORD_DTYPE)
    count = len(batch.chunks) // CHUNK_DTYPE.itemsize
    chunks = np.frombuffer(batch.chunks, CHUNK_DTYPE, count)
    chunks = chunks[chunks["row"] < batch.rows]
    joined = np.empty(
        len(chunks),
        [(n, RECORD_DTYPE[n]) for n in _OF_RECORD] + [(n, CHUNK_DTYPE[n]) for n in _OF_CHUNK],
    )
    for name in _OF_RECORD:
        joined[name] = records[name][chunks["row"]]
    for name in _OF_CHUNK:
        joined[name] = chunks[name]
    return joined


def _fill(connection: duckdb.DuckDBPyConnection, tables: Iterable[np.ndarray]) -> int:
    fields = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    connection.execute(f"CREATE TABLE chunks ({fields})")
    rows = 0
    for table in tables:
        columns = {name: np.ascontiguousarray(table[name]) for name in _COLUMNS}
        connection.register("incoming", columns)
        connection.execute("INSERT INTO chunks BY NAME SELECT * FROM incoming")
        connection.unregister("incoming")
        rows += len(table)
    return rows


def _copy(connection: duckdb.DuckDBPyConnection, plan: Plan, path: Path) -> None:
    connection.execute(
        _COPY,
        {
            "run": plan.run_id,
            "names": [phase.name for phase in plan.phases],
            "sources": [source.name.lower() for source in StampSource],
            "kinds": ["", *(kind.name.lower() for kind in ChunkKind)],
            "path": str(path),
        },
    )
