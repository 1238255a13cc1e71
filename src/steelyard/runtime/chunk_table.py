"""From a run's journal to a Parquet file with a row per content chunk; memory stays flat."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from steelyard.domain.bench.chunks import CHUNK_DTYPE, ChunkKind
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.records import RECORD_DTYPE, StampSource
from steelyard.kernel.ids import make_request_id
from steelyard.runtime.files import atomic_path
from steelyard.runtime.journal import JournalReader, journal_directory
from steelyard.runtime.parquet.writer import Kind, Names, ParquetWriter, Values
from steelyard.runtime.parquet_file import KINDS, number_column

GROUP_ROWS = 65_536

_OF_RECORD = ("schedule_index", "attempt", "turn", "phase", "stamp_source")
_OF_CHUNK = tuple(name for name in CHUNK_DTYPE.names or () if name != "row")
_ORDER = (
    "x_request_id", "phase", "schedule_index", "turn", "attempt", "chunk_index", "stamp_ns",
    "stamp_lower_ns", "stamp_source", "coalesced", "kind", "tokens", "bytes",
)  # fmt: skip
_TABLE = np.dtype(
    [
        ("request", np.int64),
        *((name, RECORD_DTYPE[name]) for name in _OF_RECORD),
        *((name, CHUNK_DTYPE[name]) for name in _OF_CHUNK),
    ]
)


def write_chunks(directory: Path, plan: Plan, path: Path) -> int:
    """Write the chunks of the run in `directory` to `path`, by rename; return how many.

    Columns: `x_request_id, phase, schedule_index, turn, attempt, chunk_index` (from 0),
    `stamp_ns, stamp_lower_ns` (CLOCK_MONOTONIC), `stamp_source, coalesced, kind` (`content` or
    `reasoning`), `tokens` (null where the chunk was not counted by itself), `bytes`.

    Raises:
        JournalError: the journal can't be read.
        FileError: there is no room for the file.
    """
    reader = JournalReader(journal_directory(directory))
    names = {
        "phase": [phase.name for phase in plan.phases],
        "stamp_source": [source.name.lower() for source in StampSource],
        "kind": ["", *(kind.name.lower() for kind in ChunkKind)],
    }
    numbers = [n for n in _ORDER if n in (_TABLE.names or ()) and n not in names]
    kinds = {n: KINDS[_TABLE[n]] if n in numbers else Kind.TEXT for n in _ORDER}
    rows = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        writer = ParquetWriter(file, kinds)
        for table, ids in _groups(reader, plan.run_id):
            columns: dict[str, Values] = {n: Names(table[n], names[n]) for n in names}
            columns |= {name: number_column(table[name]) for name in numbers}
            columns["x_request_id"] = Names(table["request"], ids)
            writer.write(columns)
            rows += len(table)
        writer.close()
    return rows


def _groups(reader: JournalReader, run_id: str) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield chunks with the columns of their requests, and these requests' ids."""
    tables: list[np.ndarray] = []
    ids: list[str] = []
    rows = 0
    for batch in reader.record_batches():
        if batch.chunks:
            tables.append(_joined(batch, len(ids)))
            ids += _ids(batch, run_id)
            rows += len(tables[-1])
        if rows >= GROUP_ROWS:
            yield np.concatenate(tables), ids
            tables, ids, rows = [], [], 0
    if rows:
        yield np.concatenate(tables), ids


def _ids(batch: RecordBatch, run_id: str) -> list[str]:
    records = np.frombuffer(batch.data, RECORD_DTYPE)
    places = (records[n].tolist() for n in ("phase", "schedule_index", "attempt", "turn"))
    return [
        make_request_id(run_id, phase, index, attempt, max(turn, 0))
        for phase, index, attempt, turn in zip(*places, strict=True)
    ]


def _joined(batch: RecordBatch, first: int) -> np.ndarray:
    """Return the chunks of a batch with what their records say; `request` counts from `first`."""
    records = np.frombuffer(batch.data, RECORD_DTYPE)
    count = len(batch.chunks) // CHUNK_DTYPE.itemsize
    chunks = np.frombuffer(batch.chunks, CHUNK_DTYPE, count)
    chunks = chunks[chunks["row"] < batch.rows]
    joined = np.empty(len(chunks), _TABLE)
    joined["request"] = chunks["row"].astype(np.int64) + first
    for name in _OF_RECORD:
        joined[name] = records[name][chunks["row"]]
    for name in _OF_CHUNK:
        joined[name] = chunks[name]
    return joined
