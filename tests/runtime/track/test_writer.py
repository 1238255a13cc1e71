"""Writing a run: any thread, any forked child, and what a full disk costs."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from steelyard.domain.track.events import RunEnded, RunStarted
from steelyard.kernel.errors import JournalError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.reader import has_writer, read_run
from steelyard.runtime.track.writer import RunWriter

START = RunStarted(name="n", project="p")


@pytest.fixture
def place(tmp_path):
    return RunPlace(tmp_path / "r1")


@pytest.fixture
def writer(place):
    made = RunWriter(place, "r1", SystemClock(), fsync="never")
    made.write(START)
    yield made
    made.close()


def in_child(work):
    """Run `work` in a forked child; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_threads_write_one_stream_without_losing_a_value(writer, place):
    def log(name):
        for step in range(500):
            writer.metrics(step, {name: float(step)})

    threads = [threading.Thread(target=log, args=(f"m{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = read_run(place)
    assert {name: series.count for name, series in run.metrics.items()} == dict.fromkeys(
        ("m0", "m1", "m2", "m3"), 500
    )
    assert JournalReader(place.journal).verify() == []


def test_a_forked_child_writes_a_stream_of_its_own(writer, place):
    writer.metrics(0, {"m": 1.0})
    assert in_child(lambda: writer.metrics(1, {"m": 2.0})) == 0
    writer.metrics(2, {"m": 3.0})
    assert len(JournalReader(place.journal).streams()) == 2
    assert JournalReader(place.journal).verify() == []
    series = read_run(place).metrics["m"]
    assert (series.count, series.last, series.last_step) == (3, 3.0, 2)


def test_a_child_may_be_forked_while_a_thread_writes(writer, place):
    stop = threading.Event()

    def log():
        while not stop.is_set():
            writer.metrics(0, {"parent": 1.0})

    thread = threading.Thread(target=log)
    thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: writer.metrics(0, {"child": 1.0})) == 0
    finally:
        stop.set()
        thread.join()
    assert read_run(place).metrics["child"].count == 10


def test_a_childs_end_does_not_end_the_parents_journal(writer, place):
    def log_and_close():
        writer.metrics(0, {"m": 1.0})
        writer.close()

    assert in_child(log_and_close) == 0
    assert has_writer(place.journal)
    assert writer.metrics(1, {"m": 2.0})


def test_a_run_has_one_writer(writer, place):
    with pytest.raises(JournalError, match="has a writer already"):
        RunWriter(place, "r1", SystemClock())


def test_what_a_full_disk_takes_is_counted_and_told_once(writer, place, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("steelyard.runtime.journal_writer.os.writev", full)
        assert [writer.metrics(i, {"m": 0.0}) for i in range(3)] == [False] * 3
    assert writer.metrics(3, {"m": 1.0})
    writer.write(RunEnded(status="finished", unwritten=writer.unwritten))
    assert len([r for r in caplog.records if "loses what it logs" in r.message]) == 1
    run = read_run(place)
    assert (run.unwritten, run.metrics["m"].count) == (3, 1)


def test_writing_after_the_end_is_told_and_harms_nobody(writer, caplog):
    writer.close()
    writer.close()
    assert writer.metrics(0, {"m": 1.0}) is False
    assert "has ended" in caplog.text


_VICTIM = """
import sys
from pathlib import Path
from steelyard.domain.track.events import RunStarted
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.writer import RunWriter
writer = RunWriter(RunPlace(Path(sys.argv[1])), "r1", SystemClock())
writer.write(RunStarted(name="n", project="p"))
step = 0
while True:
    writer.metrics(step, {"m": float(step)})
    step += 1
    if step == 1000:
        print("go", flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_all_it_logged_and_a_killed_run(place):
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(place.path)], stdout=subprocess.PIPE
    )
    try:
        victim.stdout.readline()
        assert read_run(place).status == "running"
        victim.send_signal(signal.SIGKILL)
    finally:
        victim.wait()
        victim.stdout.close()
    time.sleep(0.01)
    run = read_run(place)
    series = run.metrics["m"]
    assert (run.status, run.ended_ns) == ("killed", None)
    assert series.count == series.last_step + 1 >= 1000
