import msgspec
import numpy as np
import pytest

from steelyard.domain.bench.records import MISSING, RECORD_DTYPE
from steelyard.kernel.errors import JournalError
from steelyard.runtime import journal_stream, journal_writer
from steelyard.runtime.journal import (
    OPENED_EVENT,
    JournalReader,
)


def test_streams_are_merged_by_monotonic_time_within_a_boot(kit, tmp_path):
    """Three writers take turns on one clock; the wall clock steps back in the middle."""
    clock = kit.StepClock()
    writers = [kit.writer(tmp_path, f"w{i}", clock=clock) for i in range(3)]
    for turn in range(30):
        if turn == 15:
            clock._ahead_ns -= 10**12
        writers[turn * 7 % 3].event("turn", {"n": turn})
    for journal in writers:
        journal.close()
    turns = [event.payload["n"] for event in kit.own_events(JournalReader(tmp_path))]
    assert turns == list(range(30))


def test_boots_are_set_against_each_other_by_wall_time(kit, tmp_path, monkeypatch):
    """The second boot's monotonic time is smaller, yet it was later."""
    with kit.writer(tmp_path, "b", clock=kit.StepClock(10**15, 0)) as journal:
        journal.event("first", {})
    monkeypatch.setattr(journal_writer, "boot_id", lambda: "another-boot")
    with kit.writer(tmp_path, "a", clock=kit.StepClock(5, 2 * 10**15)) as journal:
        journal.event("second", {})
    assert [e.type for e in kit.own_events(JournalReader(tmp_path))] == ["first", "second"]


def test_a_second_copy_of_a_batch_is_dropped_across_streams(kit, tmp_path):
    with kit.writer(tmp_path, "records") as one, kit.writer(tmp_path, "records_2") as two:
        for seq in (0, 1, 1, 2):
            one.records(kit.make_batch(seq))
        for seq in (2, 3):
            two.records(kit.make_batch(seq))
        two.records(kit.make_batch(0, worker=1))
    read = [(batch.worker, batch.batch_seq) for batch in JournalReader(tmp_path).record_batches()]
    assert read == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]


def test_a_tail_sees_each_append_once_while_the_file_grows(kit, tmp_path):
    journal = kit.writer(tmp_path)
    tail = JournalReader(tmp_path).tail("s")
    assert [item.type for item in tail.poll()] == [OPENED_EVENT]
    assert list(tail.poll()) == []
    journal.event("one", {})
    journal.records(kit.make_batch(5))
    one, batch = tail.poll()
    assert (one.type, batch) == ("one", kit.make_batch(5))
    with (tmp_path / "s.journal").open("ab") as file:
        file.write(b"\x05\x00\x00\x00half")
    assert list(tail.poll()) == []
    journal.close()


def test_frames_larger_than_the_reading_chunk_are_read(kit, tmp_path, monkeypatch):
    monkeypatch.setattr(journal_stream, "_CHUNK_BYTES", 64)
    with kit.writer(tmp_path) as journal:
        for seq in range(20):
            journal.records(kit.make_batch(seq, rows=seq))
            journal.event("e", {"x": "y" * seq * 10})
    reader = JournalReader(tmp_path)
    assert [batch.rows for batch in reader.record_batches()] == list(range(20))
    assert [len(e.payload["x"]) for e in kit.own_events(reader)] == list(range(0, 200, 10))
    assert reader.damage == []


def test_an_old_journal_with_fewer_columns_is_read(kit, tmp_path, monkeypatch):
    """An older writer's opening frame states its columns; what it lacks is missing, not wrong."""
    old = np.dtype([("schedule_index", "<i8"), ("end_ns", "<i8"), ("gone", "<f8")])
    rows = np.array([(4, 5, 1.5), (6, 7, 2.5)], dtype=old)
    with monkeypatch.context() as patch:
        from steelyard.domain.bench import record_codec

        descr = record_codec.descr_of(old)
        patch.setattr(record_codec, "RECORD_DTYPE", old)
        patch.setattr(record_codec, "_RECORD_NUMBER", record_codec.descr_number(descr))
        patch.setattr(record_codec, "RECORD_DESCR", descr)
        with kit.writer(tmp_path) as journal:
            batch = kit.make_batch(0)
            journal.records(msgspec.structs.replace(batch, rows=2, data=rows.tobytes()))
    with kit.writer(tmp_path) as journal:
        journal.records(kit.make_batch(1))
    reader = JournalReader(tmp_path)
    first, second = (np.frombuffer(batch.data, RECORD_DTYPE) for batch in reader.record_batches())
    assert first["schedule_index"].tolist() == [4, 6]
    assert first["end_ns"].tolist() == [5, 7]
    assert first["start_ns"].tolist() == [MISSING, MISSING]
    assert second["schedule_index"].tolist() == [1000, 1001, 1002]
    assert reader.damage == []


def test_no_journal_and_no_such_stream_are_named(kit, tmp_path):
    with pytest.raises(JournalError, match="There is no journal"):
        JournalReader(tmp_path / "nowhere")
    kit.writer(tmp_path, "controller").close()
    with pytest.raises(JournalError, match="Did you mean 'controller'"):
        list(JournalReader(tmp_path).events("controler"))
