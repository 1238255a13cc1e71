"""Journals under writers that are killed and disks that fill up: real processes."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from steelyard.kernel.errors import JournalError
from steelyard.runtime.journal import JournalReader

WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from steelyard.domain.bench.messages import RecordBatch
    from steelyard.domain.bench.records import empty_batch
    from steelyard.runtime.clock import SystemClock
    from steelyard.runtime.journal import JournalWriter

    directory, fsync = Path(sys.argv[1]), sys.argv[2]
    rows = empty_batch(20).tobytes()
    journal = JournalWriter(directory, "s", run_id="r", clock=SystemClock(), fsync=fsync)
    number = int(sys.argv[3])
    while True:
        journal.event("e", {"n": number, "pad": "x" * (number % 700)})
        journal.records(
            RecordBatch(worker=0, epoch=0, batch_seq=number, rows=20, data=rows, messages={})
        )
        number += 1
        # Written after the appends returned: a promise that they are in the journal.
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
""")


def start_writer(directory: Path, fsync: str, first: int, **rest) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), fsync, str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **rest,
    )


@pytest.mark.slow
@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_what_was_appended_before_a_kill_is_read_back(tmp_path, fsync):
    """Three writers in a row, each killed at a random moment, each continuing the file."""
    rng = random.Random(7)  # noqa: S311 - moments to kill at, not keys
    promised = 0
    for _ in range(3):
        process = start_writer(tmp_path, fsync, promised)
        try:
            said = process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
        finally:
            process.send_signal(signal.SIGKILL)
            # Not `communicate`: it passes over what the look at the first line has read already.
            said += process.stdout.read()
            process.communicate()
        promised = int(said.split()[-1])
        reader = JournalReader(tmp_path)
        numbers = {event.payload["n"] for event in reader.events() if event.type == "e"}
        batches = {batch.batch_seq for batch in reader.record_batches()}
        assert set(range(promised)) <= numbers
        assert set(range(promised)) <= batches
        assert max(numbers) <= promised
        assert all("ends inside a frame" in sentence for sentence in reader.damage)


def test_a_reader_of_a_live_file_sees_a_growing_prefix(tmp_path):
    process = start_writer(tmp_path, "never", 0)
    try:
        process.stdout.readline()
        tail = JournalReader(tmp_path).tail("s")
        seqs: list[int] = []
        deadline = time.monotonic() + 60
        while len(seqs) < 300 and time.monotonic() < deadline:
            seqs += [item.seq for item in tail.poll() if hasattr(item, "seq")]
    finally:
        process.kill()
        process.communicate()
    assert seqs[:300] == [0, *range(1, 598, 2)]


def test_a_full_disk_is_told_and_leaves_a_whole_journal(tmp_path):
    """A limit on file size stands for the disk: the write that meets it is cut short."""
    limit = 50_000
    process = start_writer(
        tmp_path,
        "interval",
        0,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    out, err = process.communicate(timeout=100)
    last = err.strip().splitlines()[-1]
    path = tmp_path / "s.journal"
    assert last.startswith(f"steelyard.kernel.errors.JournalError: Can't write journal {path}")
    assert "file too large" in last
    assert "ulimit -f" in last
    promised = int(out.split()[-1])
    reader = JournalReader(tmp_path)
    assert len(list(reader.record_batches())) >= promised
    assert reader.damage == []


def test_a_write_cut_short_is_completed_or_taken_back(kit, tmp_path, monkeypatch):
    """ENOSPC after half a frame: the frame goes, later ones fit again when there is room."""
    real = os.writev
    journal = kit.writer(tmp_path)
    journal.event("before", {})

    def cut_short(fd: int, parts: tuple[bytes, ...]) -> int:
        return real(fd, [b"".join(parts)[:9]])

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", cut_short)
        journal.event("completed", {"x": "y" * 100})
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="no space left on device") as caught:
            journal.event("lost", {})
    assert "Free some space" in str(caught.value)
    journal.event("after", {})
    journal.close()
    reader = JournalReader(tmp_path)
    events = [(event.type, event.seq) for event in kit.own_events(reader)]
    assert events == [("before", 1), ("completed", 2), ("after", 3)]
    assert reader.damage == []


def test_a_writer_in_another_process_holds_the_file(tmp_path, kit):
    process = start_writer(tmp_path, "never", 0)
    try:
        process.stdout.readline()
        with pytest.raises(JournalError, match="has a writer already"):
            kit.writer(tmp_path, run_id="r")
    finally:
        process.kill()
        process.communicate()
    kit.writer(tmp_path, run_id="r").close()
