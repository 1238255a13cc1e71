"""A worker's spool: every line whole, whatever the disk says."""

import os

import pytest
from detailed_runs import exchange, lines_of, spool

from steelyard.domain.bench.raw_record import RawWriter
from steelyard.kernel.errors import FileError
from steelyard.runtime import raw_spool
from steelyard.runtime.raw_spool import RawSpool, spool_path


def new(path, phases=("warm", "hot")):
    return RawSpool(path, 3, phases, RawWriter((), ()))


def test_a_line_says_which_request_it_was(tmp_path):
    made = new(tmp_path / "raw" / "w.jsonl")
    made.add(exchange(7, pieces=(b"hi",)), 1)
    made.close()
    (line,) = lines_of(made.path)
    assert line["metadata"] == {
        "x_request_id": "r-p0-7-0", "schedule_index": 7, "attempt": 0, "session_num": 7,
        "turn_index": 0, "benchmark_phase": "hot", "worker_id": 3,
    }  # fmt: skip
    assert line["status"] == 200
    assert line["payload"] == {"n": 1}
    assert [piece["text"] for piece in line["responses"]] == ["hi"]


def test_what_was_flushed_is_in_the_file_before_the_process_ends(tmp_path):
    """The operating system has it; nobody has to close anything."""
    made = new(tmp_path / "w.jsonl")
    made.add(exchange(1), 0)
    assert made.path.read_bytes() == b""
    made.flush()
    assert len(lines_of(made.path)) == 1
    made.close()


def test_lines_do_not_pile_up_in_memory(tmp_path, monkeypatch):
    """A flush of its own every so many bytes."""
    monkeypatch.setattr(raw_spool, "FLUSH_BYTES", 2_000)
    made = new(tmp_path / "w.jsonl")
    for number in range(20):
        made.add(exchange(number, pieces=(b"x" * 500,)), 0)
        assert made._waiting < 2_000
    assert len(lines_of(made.path)) >= 16
    made.close()


def test_others_may_not_read_a_spool(tmp_path):
    path = spool(tmp_path, [exchange(0)])
    assert path == spool_path(tmp_path, 0)
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_disk_ends_the_spool_at_a_whole_line(tmp_path, monkeypatch):
    """The load goes on; what is there stays readable, and why there is no more is known."""
    made = new(tmp_path / "w.jsonl")
    made.add(exchange(0, pieces=(b"kept",)), 0)
    made.flush()
    write = os.write
    written = []

    def half_then_full(fd, data):
        if written:
            raise OSError(28, "No space left on device")
        written.append(fd)
        return write(fd, data[:10])

    monkeypatch.setattr(os, "write", half_then_full)
    made.add(exchange(1, pieces=(b"lost",)), 0)
    made.flush()
    monkeypatch.setattr(os, "write", write)
    made.add(exchange(2), 0)
    made.close()
    assert [line["metadata"]["schedule_index"] for line in lines_of(made.path)] == [0]
    assert isinstance(made.failure, FileError)
    assert "no space" in str(made.failure)


def test_a_spool_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        new(tmp_path / "file" / "w.jsonl")
