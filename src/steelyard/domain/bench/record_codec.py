"""Record batches as bytes that outlive the columns they were written with."""

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from crc32c import crc32c

from steelyard.domain.bench.chunks import CHUNK_DTYPE, empty_chunks
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.record_columns import Descr, check_columns
from steelyard.domain.bench.records import RECORD_DTYPE, empty_batch

_HEAD = struct.Struct("<IiqqIIII")

_messages_decoder = msgspec.msgpack.Decoder(dict[int, str])


def descr_of(dtype: np.dtype[Any]) -> Descr:
    """Return the columns of a packed `dtype` as `(name, typestr)` pairs."""
    return tuple((name, np.dtype(dtype[name]).str) for name in dtype.names or ())


RECORD_DESCR = descr_of(RECORD_DTYPE)
CHUNK_DESCR = descr_of(CHUNK_DTYPE)


def descr_number(descr: Descr) -> int:
    """Return the u32 that ties a batch to the columns it was written with."""
    return int(crc32c(repr(descr).encode()))


def dtype_of(descr: Descr) -> np.dtype[Any]:
    """Return the dtype of columns that a file claims to have.

    Raises:
        ValueError: a column is not a plain number, or its name comes twice.
    """
    check_columns(descr)
    return np.dtype(list(descr))


def encode_batch(batch: RecordBatch) -> tuple[bytes, ...]:
    """Return the parts of a records frame's payload; the record bytes are not copied.

    Raises:
        ValueError: `batch.data` is not `batch.rows` records.
    """
    expected = batch.rows * RECORD_DTYPE.itemsize
    if len(batch.data) != expected:
        message = f"{batch.rows} rows are {expected} bytes, got {len(batch.data)}"
        raise ValueError(message)
    messages = msgspec.msgpack.encode(batch.messages)
    head = _HEAD.pack(
        _RECORD_NUMBER,
        batch.worker,
        batch.epoch,
        batch.batch_seq,
        batch.rows,
        len(messages),
        len(batch.gaps),
        len(batch.chunks),
    )
    return head, messages, batch.data, batch.gaps, batch.chunks


_RECORD_NUMBER = descr_number(RECORD_DESCR)


class _Columns:
    """Rows as somebody else wrote them, turned into rows of which `empty` makes so many."""

    def __init__(self, descr: Descr, empty: Callable[[int], np.ndarray]) -> None:
        self._dtype = dtype_of(descr)
        self._empty = empty
        self._current = current = empty(0).dtype
        self.itemsize = self._dtype.itemsize
        known = set(current.names or ())
        self._kept = [name for name, _ in descr if name in known]
        for name in self._kept:
            if not np.can_cast(self._dtype[name], current[name], "safe"):
                message = f"column {name!r} of {self._dtype[name]} is no {current[name]}"
                raise ValueError(message)

    def as_current(self, data: memoryview) -> bytes:
        if self._dtype == self._current:
            return bytes(data)
        rows = len(data) // self.itemsize
        old = np.frombuffer(data, dtype=self._dtype, count=rows)
        new = self._empty(rows)
        for name in self._kept:
            new[name] = old[name]
        return new.tobytes()


class BatchDecoder:
    """Reads batches written with other columns as batches of today's.

    Columns that the writer did not have are `MISSING`; columns that we no longer have are left
    out.

    Args:
        descr: the columns of its records.
        chunk_descr: those of its chunk side tables; empty for a writer that knew none.

    Raises:
        ValueError: these can't be the columns of records, or of chunks.
    """

    def __init__(self, descr: Descr, chunk_descr: Descr = CHUNK_DESCR) -> None:
        self._number = descr_number(descr)
        self._records = _Columns(descr, empty_batch)
        self._chunks = _Columns(chunk_descr, empty_chunks) if chunk_descr else None

    def decode(self, payload: memoryview) -> RecordBatch:
        """Return the batch in a records frame's payload.

        Raises:
            ValueError: the payload is not a batch of these columns.
        """
        if len(payload) < _HEAD.size:
            message = f"a batch of {len(payload)} bytes has no room for its header"
            raise ValueError(message)
        number, worker, epoch, batch_seq, rows, *sizes = _HEAD.unpack_from(payload)
        if number != self._number:
            message = "the batch was written with other columns than its stream states"
            raise ValueError(message)
        messages_size, gaps_size, chunks_size = sizes
        data_size = rows * self._records.itemsize
        if _HEAD.size + messages_size + data_size + gaps_size + chunks_size != len(payload):
            message = f"the sizes in a batch's header don't add up to {len(payload)} bytes"
            raise ValueError(message)
        data_at = _HEAD.size + messages_size
        gaps_at = data_at + data_size
        chunks_at = gaps_at + gaps_size
        try:
            messages = _messages_decoder.decode(payload[_HEAD.size : data_at])
        except msgspec.DecodeError as error:
            message = f"the batch's error messages are malformed: {error}"
            raise ValueError(message) from error
        return RecordBatch(
            worker=worker,
            epoch=epoch,
            batch_seq=batch_seq,
            rows=rows,
            data=self._records.as_current(payload[data_at:gaps_at]),
            messages=messages,
            gaps=bytes(payload[gaps_at:chunks_at]),
            chunks=self._chunks.as_current(payload[chunks_at:]) if self._chunks else b"",
        )


class SeenBatches:
    """Which batches have been taken, by `(worker, epoch, batch_seq)`.

    Batches come nearly in order, so per worker and epoch one number stands for all up to it and
    only the ones ahead of a hole are kept apart: memory stays flat over hours.
    """

    def __init__(self) -> None:
        self._below: dict[tuple[int, int], int] = {}
        self._ahead: dict[tuple[int, int], set[int]] = {}
        self.duplicates = 0

    def __contains__(self, batch: RecordBatch) -> bool:
        """Tell whether this batch was added before."""
        key = (batch.worker, batch.epoch)
        return batch.batch_seq < self._below.get(key, 0) or batch.batch_seq in self._ahead.get(
            key, ()
        )

    def add(self, batch: RecordBatch) -> bool:
        """Note the batch; return False, and count it, when it was there already."""
        if batch in self:
            self.duplicates += 1
            return False
        key = (batch.worker, batch.epoch)
        ahead = self._ahead.setdefault(key, set())
        ahead.add(batch.batch_seq)
        below = self._below.get(key, 0)
        while below in ahead:
            ahead.remove(below)
            below += 1
        self._below[key] = below
        return True
