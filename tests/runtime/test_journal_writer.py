import os
import threading

import msgspec
import pytest

from steelyard.kernel.errors import EXIT_USAGE, JournalError
from steelyard.runtime import journal_writer
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal import (
    OPENED_EVENT,
    JournalReader,
    JournalWriter,
)


def test_a_second_writer_is_refused_until_the_first_closes(kit, tmp_path):
    first = kit.writer(tmp_path)
    with pytest.raises(JournalError, match="has a writer already") as caught:
        kit.writer(tmp_path)
    assert str(tmp_path / "s.journal") in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE
    first.event("still.works", {})
    first.close()
    kit.writer(tmp_path).close()
    assert [e.type for e in JournalReader(tmp_path).events()] == [
        OPENED_EVENT,
        "still.works",
        OPENED_EVENT,
    ]


def test_reopening_continues_the_numbers(kit, tmp_path):
    for start in range(3):
        with kit.writer(tmp_path, fsync="interval") as journal:
            journal.event("e", {"start": start})
    reader = JournalReader(tmp_path)
    assert [event.seq for event in reader.events()] == [0, 1, 2, 3, 4, 5]
    assert reader.damage == []


def test_another_runs_journal_is_not_continued(kit, tmp_path):
    kit.writer(tmp_path, run_id="one").close()
    before = (tmp_path / "s.journal").read_bytes()
    with pytest.raises(JournalError, match="another run") as caught:
        kit.writer(tmp_path, run_id="two")
    assert "--artifact-dir" in str(caught.value)
    assert (tmp_path / "s.journal").read_bytes() == before


@pytest.mark.parametrize("content", [b"hello", b"a" * 100, b"PAR1" * 10])
def test_a_file_that_is_no_journal_is_left_alone(kit, tmp_path, content):
    (tmp_path / "s.journal").write_bytes(content)
    with pytest.raises(JournalError, match="Can't continue"):
        kit.writer(tmp_path)
    assert (tmp_path / "s.journal").read_bytes() == content
    reader = JournalReader(tmp_path)
    assert list(reader.events()) == []
    assert len(reader.damage) == 1


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "-flag", "x" * 200, "a b", "é"])
def test_a_stream_id_that_is_no_file_name_is_refused(kit, tmp_path, name):
    with pytest.raises(JournalError, match="file name"):
        kit.writer(tmp_path, name)


def test_what_is_not_plain_data_is_refused_and_leaves_no_trace(kit, tmp_path):
    loop: dict = {}
    loop["me"] = loop
    with kit.writer(tmp_path) as journal:
        for payload in ({"x": object()}, {"x": 2**70}, loop, {"x": "\ud800"}):
            with pytest.raises(JournalError, match="'bad'"):
                journal.event("bad", payload)
        journal.event("good", {})
        with pytest.raises(JournalError, match="worker 0, epoch 0, batch 4"):
            journal.records(msgspec.structs.replace(kit.make_batch(4), rows=9))
    reader = JournalReader(tmp_path)
    assert [(event.type, event.seq) for event in kit.own_events(reader)] == [("good", 1)]
    assert reader.damage == []


def test_an_event_that_no_reader_would_take_is_refused(kit, tmp_path, monkeypatch):
    monkeypatch.setattr("steelyard.kernel.frames.MAX_PAYLOAD", 2000)
    with kit.writer(tmp_path) as journal, pytest.raises(JournalError, match="at most 2000"):
        journal.event("big", {"x": "y" * 3000})


def test_a_closed_writer_and_a_forked_one_are_refused(kit, tmp_path):
    journal = kit.writer(tmp_path)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            journal.event("from.child", {})
        except JournalError:
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.event("late", {})
    assert kit.own_events(JournalReader(tmp_path)) == []


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_each_policy_syncs_as_often_as_it_says(kit, tmp_path, monkeypatch, fsync):
    calls = {"data": 0, "full": 0}
    synced = threading.Event()

    def data_sync(fd: int) -> None:
        calls["data"] += 1
        synced.set()

    def full_sync(fd: int) -> None:
        calls["full"] += 1

    monkeypatch.setattr(journal_writer, "SYNC_INTERVAL_S", 0.01)
    monkeypatch.setattr(os, "fdatasync", data_sync)
    monkeypatch.setattr(journal_writer.os, "fsync", full_sync)
    journal = JournalWriter(tmp_path, "s", run_id="r", clock=SystemClock(), fsync=fsync)
    for _ in range(5):
        journal.event("e", {})
    if fsync == "interval":
        assert synced.wait(60)
    journal.close()
    assert {
        "always": calls["data"] == 6,
        "interval": 1 <= calls["data"] <= 6,
        "never": not any(calls.values()),
    }[fsync]
    assert (calls["full"] > 0) == (fsync != "never")


def test_a_failed_sync_is_told_at_the_next_append(kit, tmp_path, monkeypatch):
    failed = threading.Event()

    def fail(fd: int) -> None:
        failed.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal_writer, "SYNC_INTERVAL_S", 0.001)
    monkeypatch.setattr(os, "fdatasync", fail)
    journal = JournalWriter(tmp_path, "s", run_id="r", clock=SystemClock())
    journal.event("e", {})
    assert failed.wait(60)
    journal._interval.stop()
    for call in (journal.flush, journal.sync, lambda: journal.event("e", {}), journal.close):
        with pytest.raises(JournalError, match="input/output error"):
            call()


def test_a_close_that_falls_into_a_background_sync_ends_all_the_same(tmp_path):
    """The sync's thread clears its wake-up just as the close sets it: neither waits for ever."""
    with (tmp_path / "file").open("wb") as file:
        sync = journal_writer._IntervalSync(file.fileno(), 0.001)

        class Interrupted(threading.Event):
            def clear(self):
                sync._stopping.set()
                self.set()
                super().clear()

        sync._due = Interrupted()
        sync.mark()
        sync._thread.join(60)
        assert not sync._thread.is_alive()
