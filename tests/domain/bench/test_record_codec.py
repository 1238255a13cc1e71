import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.chunks import CHUNK_DTYPE
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.record_codec import (
    RECORD_DESCR,
    BatchDecoder,
    SeenBatches,
    descr_number,
    descr_of,
    dtype_of,
    encode_batch,
)
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, empty_batch

texts = st.text(max_size=20)


@st.composite
def batches(draw: st.DrawFn) -> RecordBatch:
    rows = draw(st.integers(0, 5))
    size = rows * RECORD_DTYPE.itemsize
    return RecordBatch(
        worker=draw(st.integers(-(2**31), 2**31 - 1)),
        epoch=draw(st.integers(-(2**63), 2**63 - 1)),
        batch_seq=draw(st.integers(0, 2**63 - 1)),
        rows=rows,
        data=draw(st.binary(min_size=size, max_size=size)),
        messages=draw(st.dictionaries(st.integers(0, 18), texts, max_size=3)),
        gaps=draw(st.binary(max_size=24)),
        chunks=draw(st.binary(max_size=24)),
    )


def batch(worker: int = 0, epoch: int = 0, batch_seq: int = 0) -> RecordBatch:
    return RecordBatch(
        worker=worker, epoch=epoch, batch_seq=batch_seq, rows=0, data=b"", messages={}
    )


@given(batch=batches())
def test_any_batch_is_read_back_byte_for_byte(batch):
    payload = memoryview(b"".join(encode_batch(batch)))
    assert BatchDecoder(RECORD_DESCR).decode(payload) == batch


@given(batch=batches(), data=st.data())
def test_a_cut_payload_is_refused(batch, data):
    payload = b"".join(encode_batch(batch))
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(ValueError, match="batch"):
        BatchDecoder(RECORD_DESCR).decode(memoryview(payload[:cut]))


def test_a_batch_whose_rows_and_bytes_disagree_is_refused():
    wrong = msgspec.structs.replace(batch(), rows=2)
    with pytest.raises(ValueError, match="2 rows are"):
        encode_batch(wrong)


def written_with(names: list[str], extra: list[tuple[str, str]]) -> tuple[BatchDecoder, bytes]:
    """One batch of two rows as a writer with other columns would have left it."""
    old = np.dtype([(name, RECORD_DTYPE[name]) for name in names] + extra)
    rows = np.zeros(2, dtype=old)
    for number, name in enumerate(old.names or ()):
        rows[name] = number + 1
    descr = descr_of(old)
    payload = bytearray(b"".join(encode_batch(batch())))
    payload[0:4] = descr_number(descr).to_bytes(4, "little")
    payload[24:28] = (2).to_bytes(4, "little")
    return BatchDecoder(descr), bytes(payload) + rows.tobytes()


def test_columns_an_old_journal_lacks_are_missing_and_its_extra_ones_are_left_out():
    decoder, payload = written_with(["end_ns", "status"], [("temperature", "<f4")])
    read = decoder.decode(memoryview(payload))
    rows = np.frombuffer(read.data, dtype=RECORD_DTYPE)
    assert rows["end_ns"].tolist() == [1, 1]
    assert rows["status"].tolist() == [2, 2]
    untouched = [name for name in RECORD_DTYPE.names if name not in {"end_ns", "status"}]
    assert all((rows[name] == empty_batch(2)[name]).all() for name in untouched)
    assert rows["start_ns"].tolist() == [MISSING, MISSING]


def test_a_narrow_old_column_is_widened():
    decoder, payload = written_with([], [("status", "<i1")])
    rows = np.frombuffer(decoder.decode(memoryview(payload)).data, dtype=RECORD_DTYPE)
    assert rows["status"].tolist() == [1, 1]


def test_a_journal_older_than_chunk_tables_has_none():
    """What stands where they would be is nothing that we can read."""
    old = msgspec.structs.replace(batch(), chunks=b"????")
    payload = memoryview(b"".join(encode_batch(old)))
    assert BatchDecoder(RECORD_DESCR, ()).decode(payload).chunks == b""


def test_chunks_of_other_columns_are_read_by_name():
    """New ones are missing, gone ones left out, as with records."""
    theirs = np.zeros(2, [("stamp_ns", "<i8"), ("colour", "<i4"), ("row", "<u2")])
    theirs["stamp_ns"], theirs["row"] = [5, 9], [0, 1]
    old = msgspec.structs.replace(batch(), chunks=theirs.tobytes())
    decoder = BatchDecoder(RECORD_DESCR, descr_of(theirs.dtype))
    read = decoder.decode(memoryview(b"".join(encode_batch(old))))
    chunks = np.frombuffer(read.chunks, CHUNK_DTYPE)
    assert chunks["stamp_ns"].tolist() == [5, 9]
    assert chunks["row"].tolist() == [0, 1]
    assert chunks["tokens"].tolist() == [MISSING, MISSING]
    assert chunks["coalesced"].tolist() == [False, False]


def test_a_batch_of_other_columns_than_its_stream_states_is_refused():
    _, payload = written_with(["end_ns"], [])
    with pytest.raises(ValueError, match="other columns"):
        BatchDecoder(RECORD_DESCR).decode(memoryview(payload))


@pytest.mark.parametrize(
    "descr",
    [
        (),
        (("a", "|O"),),
        (("a", "|S10"),),
        (("a", ">i8"),),
        (("a", "<i8"), ("a", "<i8")),
        (("end_ns", "<f8"),),
        (("status", "<i8"),),
        (("a", "<f1"),),
        tuple((f"c{i}", "<i8") for i in range(1025)),
    ],
)
def test_columns_that_no_record_has_are_refused(descr):
    with pytest.raises(ValueError, match=r"."):
        BatchDecoder(descr)


def test_our_own_columns_describe_themselves():
    assert dtype_of(RECORD_DESCR) == RECORD_DTYPE


@given(order=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 12))))
def test_seen_batches_are_exactly_those_added(order):
    seen = SeenBatches()
    known: set[tuple[int, int, int]] = set()
    for key in order:
        assert seen.add(batch(*key)) is (key not in known)
        known.add(key)
    assert seen.duplicates == len(order) - len(known)


def test_memory_stays_flat_while_batches_come_in_order():
    seen = SeenBatches()
    for seq in range(10_000):
        seen.add(batch(batch_seq=seq ^ 1))
    assert sum(map(len, seen._ahead.values())) <= 1
