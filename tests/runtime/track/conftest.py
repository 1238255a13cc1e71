"""A store with runs in it."""

import pytest

from steelyard.domain.track.events import ParamsLogged, RunEnded, RunStarted
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.writer import RunWriter


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", (tmp_path / "artifacts",))


@pytest.fixture
def make_run(store):
    """Return a function that writes a run and returns its writer, closed when it ended."""
    writers = []

    def make(run_id, points=(), *, params=None, status="finished"):
        writer = RunWriter(store.place(run_id), run_id, SystemClock(), fsync="never")
        writers.append(writer)
        writer.write(RunStarted(name=f"name of {run_id}", project="p", tags={"t": "1"}))
        if params:
            writer.write(ParamsLogged(params))
        for step, values in points:
            writer.metrics(step, values)
        if status is not None:
            writer.write(RunEnded(status=status))
            writer.close()
        return writer

    yield make
    for writer in writers:
        writer.close()
