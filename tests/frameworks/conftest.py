"""Tests of frameworks with the real libraries; run by tests/without_network/test_offline.py.

Each file is a process of its own there: the libraries are large, and some would look for a network.
"""

import os
from contextlib import contextmanager

import pytest
from offline import VARIABLE

QUIET = {
    "HF_HUB_OFFLINE": "1", "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1",
    "STEELYARD_TRACK_MIRRORS": "thread", "TF_CPP_MIN_LOG_LEVEL": "3",
}  # fmt: skip


def pytest_ignore_collect() -> bool | None:
    """Leave everything here alone elsewhere."""
    return None if os.environ.get(VARIABLE) else True


def pytest_configure() -> None:
    """Set what libraries read when they are imported."""
    if os.environ.get(VARIABLE):
        os.environ.update(QUIET)


@pytest.fixture
def tracked(tmp_path):
    """Return a block that runs an experiment with automagic; it holds the run afterwards."""
    from steelyard.track import Experiment

    class Tracked:
        run = None

        def series(self, name):
            """Return count, last step and last value of a metric."""
            found = self.run.metrics[name]
            return found.count, found.last_step, found.last

    @contextmanager
    def block(automagic=True):
        told = Tracked()
        with Experiment("real", directory=tmp_path / "store", automagic=automagic) as experiment:
            yield told
        told.run = experiment.snapshot()

    return block
