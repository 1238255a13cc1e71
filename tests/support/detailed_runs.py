"""Runs that kept more than rows: chunks in the journal, requests and responses in a spool."""

import json
from pathlib import Path

import msgspec
import numpy as np

from steelyard.domain.bench.chunks import chunk_rows
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.raw_record import RawWriter
from steelyard.domain.bench.response import CONTENT
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.exchange import Exchange, Prepared
from steelyard.runtime.raw_spool import RawSpool, spool_path
from steelyard.testing.contracts.sample_run import SampleRun
from steelyard.testing.journals import T0_NS, answered, fake_plan, record_batch, write_journal

TOKENS = 4
TTFT_MS = 20
ITL_MS = 5


def chunks_of(start_ms: int, tokens: int = TOKENS) -> np.ndarray:
    """Return the chunks of the row that `answered` makes for a request sent at `start_ms`."""
    sent_ns = T0_NS + start_ms * NS_PER_MS
    stamps = [sent_ns + (TTFT_MS + ITL_MS * i) * NS_PER_MS for i in range(tokens)]
    events = [b"x" * (10 + i) for i in range(tokens)]
    return chunk_rows(events, stamps, [CONTENT] * tokens, stamps, sent_ns)


def detailed_batch(first: int, rows: int, batch_seq: int = 0, tokens: int = TOKENS) -> RecordBatch:
    """Return answered requests `first..first+rows`, one per millisecond, with their chunks."""
    records, tables = [], []
    for row in range(rows):
        at_ms = first + row
        records.append(
            answered(at_ms, start_ms=at_ms, ttft_ms=TTFT_MS, itl_ms=ITL_MS, tokens=tokens)
        )
        table = chunks_of(at_ms, tokens)
        table["row"] = row
        tables.append(table)
    batch = record_batch(records, batch_seq=batch_seq)
    return msgspec.structs.replace(batch, chunks=np.concatenate(tables).tobytes())


def detailed_plan(directory: Path, export_level: str = "raw") -> Plan:
    """Return the plan of a run that keeps all."""
    return fake_plan(directory, export_level=export_level)


def exchange(index: int, *, pieces: tuple[bytes, ...] = ()) -> Exchange:
    """Return an exchange that is over, with the response `pieces` a millisecond apart."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-ID: r-p0-%d-0\r\n\r\n" % index
    made = Exchange(index, Prepared(0, 0, b"", b""), head + b'{"n": 1}', T0_NS)
    made.start_ns, made.end_ns = T0_NS, T0_NS + len(pieces) * NS_PER_MS
    made.before_body_ns = T0_NS
    if pieces:
        made.status = 200
        made.head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    made.pieces = list(pieces)
    made.stamps = [T0_NS + (i + 1) * NS_PER_MS for i in range(len(pieces))]
    return made


def spool(directory: Path, exchanges: list[Exchange], worker: int = 0) -> Path:
    """Write the spool of a worker; return its path."""
    path = spool_path(directory, worker)
    made = RawSpool(path, worker, ("profiling",), RawWriter((), ()))
    for one in exchanges:
        made.add(one, 0)
    made.close()
    return path


def detailed_run(directory: str, failed: bool) -> SampleRun:
    """Return a run for the exporters' contract; its journal and spool are in `directory`."""
    folder = Path(directory)
    write_journal(folder, detailed_plan(folder), [] if failed else [detailed_batch(0, 4)])
    pieces = () if failed else (b"a", b"b")
    spool(folder, [exchange(i, pieces=pieces) for i in range(4)])
    return SampleRun(directory, failed=failed)


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return a JSON lines file, read."""
    return [json.loads(line) for line in path.read_text().splitlines()]
