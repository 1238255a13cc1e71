"""What the tests of the journal and of supervised processes are made of."""

from pathlib import Path

import numpy as np
import pytest
from zoo_run import Controller

from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.records import empty_batch
from steelyard.kernel.events import Event
from steelyard.runtime.journal import OPENED_EVENT, JournalReader, JournalWriter


class StepClock:
    """A clock that goes 1 ms on at each look at the monotonic time."""

    def __init__(self, mono_ns: int = 0, ahead_ns: int = 10**18) -> None:
        self._mono_ns = mono_ns
        self._ahead_ns = ahead_ns

    def mono_ns(self) -> int:
        self._mono_ns += 1_000_000
        return self._mono_ns

    def wall_ns(self) -> int:
        return self._mono_ns + self._ahead_ns


class JournalKit:
    """Builders of small journals."""

    StepClock = StepClock

    @staticmethod
    def make_batch(batch_seq: int, worker: int = 0, rows: int = 3) -> RecordBatch:
        """Return a batch whose schedule indices begin at 1000 times its number."""
        data = empty_batch(rows)
        data["schedule_index"] = np.arange(rows) + 1000 * batch_seq
        data["worker_id"] = worker
        return RecordBatch(
            worker=worker,
            epoch=0,
            batch_seq=batch_seq,
            rows=rows,
            data=data.tobytes(),
            messages={1: "connection refused"},
        )

    @staticmethod
    def writer(directory: Path, stream: str = "s", **rest) -> JournalWriter:
        """Return a writer of run `run` on a clock of its own that never syncs."""
        options = {"run_id": "run", "clock": StepClock(), "fsync": "never"} | rest
        return JournalWriter(directory, stream, **options)

    @staticmethod
    def own_events(reader: JournalReader, stream: str | None = None) -> list[Event]:
        """Return the events that a test wrote, without the openings."""
        return [event for event in reader.events(stream) if event.type != OPENED_EVENT]


@pytest.fixture(scope="session")
def kit() -> JournalKit:
    return JournalKit()


@pytest.fixture
def controller(tmp_path, tmp_path_factory):
    started = []

    def start(mode, *roles, **rest):
        run_dir = tmp_path / f"run{len(started)}"
        run_dir.mkdir()
        rest.setdefault("tmpdir", tmp_path_factory.mktemp("s"))
        started.append(Controller(mode, run_dir, *roles, **rest))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(60)
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            stream.close()
