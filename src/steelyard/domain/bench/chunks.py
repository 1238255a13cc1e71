"""The chunk side table: a row per content chunk of a stream, kept from `--export-level records` on.

It travels behind the records of its batch. Times are nanoseconds on CLOCK_MONOTONIC.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from steelyard.domain.bench.records import MISSING
from steelyard.domain.bench.response import CONTENT, REASONING

CHUNKS_MAX = 200_000
"""Chunks of one response that get a row; its record counts them all."""


class ChunkKind(IntEnum):
    """What a chunk carries, by the marks that endpoints give events."""

    CONTENT = CONTENT
    REASONING = REASONING


CHUNK_DTYPE = np.dtype(
    [
        ("row", "<u2"),
        ("chunk_index", "<i4"),
        ("stamp_ns", "<i8"),
        ("stamp_lower_ns", "<i8"),
        ("bytes", "<i4"),
        ("tokens", "<i4"),
        ("kind", "<i1"),
        ("coalesced", "?"),
    ]
)
"""Layout of a batch's chunks, in memory, on the bus and in the journal.

`row` is the number of the request's record in its batch; `stamp_ns` the stamp of the read that
completed the chunk, an upper bound of its arrival, and `stamp_lower_ns` that of the read before
(or of the send), a lower one; `bytes` the size of the event's data; `tokens` is `MISSING` where
nobody counted the chunk by itself; `coalesced` says that the chunk before came in the same read.
"""


def empty_chunks(rows: int) -> np.ndarray:
    """Return `rows` chunks of which nothing is known."""
    table = np.zeros(rows, dtype=CHUNK_DTYPE)
    for name in ("chunk_index", "stamp_ns", "stamp_lower_ns", "bytes", "tokens"):
        table[name] = MISSING
    return table


def chunk_rows(
    events: Sequence[bytes],
    marks: Sequence[int],
    kinds: Sequence[int],
    stamps: Sequence[int],
    before_ns: int,
) -> np.ndarray:
    """Return the content chunks of a stream as `CHUNK_DTYPE`, `row` 0 and `tokens` missing.

    Args:
        events: data of each event.
        marks: the stamp of the piece that completed each.
        kinds: `CONTENT`, `REASONING` or 0 for each that was read; may end early.
        stamps: the stamp of every piece of the body.
        before_ns: the stamp of the read before the first piece, or of the send.
    """
    chosen = [at for at, kind in enumerate(kinds) if kind][:CHUNKS_MAX]
    lower: dict[int, int] = {}
    last_ns = before_ns
    for stamp_ns in stamps:
        if stamp_ns not in lower:
            lower[stamp_ns] = last_ns
        last_ns = stamp_ns
    rows = empty_chunks(len(chosen))
    times = [marks[at] for at in chosen]
    rows["chunk_index"] = np.arange(len(chosen))
    rows["stamp_ns"] = times
    rows["stamp_lower_ns"] = [lower[time] for time in times]
    rows["bytes"] = [len(events[at]) for at in chosen]
    rows["kind"] = [kinds[at] for at in chosen]
    rows["coalesced"][1:] = rows["stamp_ns"][1:] == rows["stamp_ns"][:-1]
    return rows


def note_tokens(rows: np.ndarray, output_tokens: int, first_tokens: int) -> None:
    """Fill in what is known of the tokens of a response's chunks.

    As many chunks as tokens are a token each; else only the first chunk was counted.

    Args:
        rows: all chunks of a response, as `CHUNK_DTYPE`.
        output_tokens: of the whole response, `MISSING` when unknown.
        first_tokens: of its first chunk, `MISSING` when unknown.
    """
    if len(rows) == output_tokens:
        rows["tokens"] = 1
    elif len(rows) == 1 and output_tokens > 0:
        rows["tokens"] = output_tokens
    elif len(rows):
        rows["tokens"][0] = first_tokens
