"""The Parquet file of chunks, against journals whose truth is known."""

import duckdb
import msgspec
import numpy as np
import psutil
import pytest
from detailed_runs import ITL_MS, TOKENS, TTFT_MS, detailed_batch, detailed_plan

from steelyard.kernel.ids import make_request_id
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.chunk_table import write_chunks
from steelyard.testing.journals import T0_NS, answered, record_batch, write_journal

MIB = 1024 * 1024


def read(path):
    """Return the file's rows as dicts, in the order in which they are in it."""
    relation = duckdb.read_parquet(str(path))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def written(folder, batches):
    plan = detailed_plan(folder)
    write_journal(folder, plan, batches)
    path = folder / "chunks.parquet"
    return write_chunks(folder, plan, path), path


def test_every_chunk_of_every_request_is_a_row(tmp_path):
    count, path = written(tmp_path, [detailed_batch(0, 3), detailed_batch(3, 2, batch_seq=1)])
    rows = read(path)
    assert count == len(rows) == 5 * TOKENS
    assert list(rows[0]) == [
        "x_request_id", "phase", "schedule_index", "turn", "attempt", "chunk_index", "stamp_ns",
        "stamp_lower_ns", "stamp_source", "coalesced", "kind", "tokens", "bytes",
    ]  # fmt: skip
    for number, row in enumerate(rows):
        index, chunk = divmod(number, TOKENS)
        sent_ns = T0_NS + index * NS_PER_MS
        stamp_ns = sent_ns + (TTFT_MS + chunk * ITL_MS) * NS_PER_MS
        assert row == {
            "x_request_id": make_request_id(detailed_plan(tmp_path).run_id, 0, index, 0),
            "phase": "profiling", "schedule_index": index, "turn": 0, "attempt": 0,
            "chunk_index": chunk, "stamp_ns": stamp_ns,
            "stamp_lower_ns": stamp_ns - ITL_MS * NS_PER_MS if chunk else sent_ns,
            "stamp_source": "kernel", "coalesced": False, "kind": "content", "tokens": None,
            "bytes": 10 + chunk,
        }  # fmt: skip


@pytest.mark.parametrize(("turn", "attempt"), [(0, 0), (3, 0), (0, 1), (12, 1)])
def test_request_ids_are_those_that_were_sent(tmp_path, turn, attempt):
    """Turns and second attempts included: the ids join with the servers' logs."""
    batch = detailed_batch(0, 1)
    columns = {"start_ms": 0, "ttft_ms": TTFT_MS, "itl_ms": ITL_MS, "tokens": TOKENS}
    rows = [answered(41, **columns, turn=turn, attempt=attempt)]
    batch = msgspec.structs.replace(record_batch(rows), chunks=batch.chunks)
    _, path = written(tmp_path, [batch])
    run_id = detailed_plan(tmp_path).run_id
    assert {row["x_request_id"] for row in read(path)} == {
        make_request_id(run_id, 0, 41, attempt, turn)
    }


def test_a_run_without_chunks_has_an_empty_table(tmp_path):
    """With its columns: a reader need not ask first."""
    count, path = written(tmp_path, [])
    assert count == 0
    assert read(path) == []
    assert "stamp_ns" in duckdb.read_parquet(str(path)).columns


def test_a_batch_that_came_twice_counts_once(tmp_path):
    count, _ = written(tmp_path, [detailed_batch(0, 3), detailed_batch(0, 3)])
    assert count == 3 * TOKENS


def test_chunks_of_no_record_are_left_out(tmp_path):
    """A damaged table can't lend its chunks to somebody else's request."""
    batch = detailed_batch(0, 2)
    table = np.frombuffer(batch.chunks, "V32").copy()
    wrong = bytearray(table.tobytes())
    wrong[0:2] = (900).to_bytes(2, "little")
    batch = msgspec.structs.replace(batch, chunks=bytes(wrong) + b"tail")
    count, _ = written(tmp_path, [batch])
    assert count == 2 * TOKENS - 1


def test_scratch_files_go_and_the_file_is_replaced_whole(tmp_path):
    _, path = written(tmp_path, [detailed_batch(0, 3)])
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_chunks(tmp_path, detailed_plan(tmp_path), path)
        assert reader.read() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["chunks.parquet", "journal"]


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """Ten times the chunks take no more memory than DuckDB is allowed."""
    process = psutil.Process()
    used = []
    for rows in (2_000, 20_000):
        folder = tmp_path / str(rows)
        batches = (
            detailed_batch(first, 500, batch_seq=first // 500, tokens=64)
            for first in range(0, rows, 500)
        )
        plan = detailed_plan(folder)
        write_journal(folder, plan, batches)
        before = process.memory_info().rss
        assert write_chunks(folder, plan, folder / "chunks.parquet") == rows * 64
        used.append(process.memory_info().rss - before)
    assert max(used) < 250 * MIB
