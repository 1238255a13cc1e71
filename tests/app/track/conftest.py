"""A store of its own for each test, and nothing left running."""

import pytest

from steelyard.app.track import active


@pytest.fixture(autouse=True)
def store_directory(tmp_path, monkeypatch):
    """Run the test in an empty directory, with its store there and mirrors in threads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEELYARD_TRACK_DIR", raising=False)
    monkeypatch.delenv("STEELYARD_TRACK_BACKENDS", raising=False)
    monkeypatch.setenv("STEELYARD_TRACK_MIRRORS", "thread")
    yield tmp_path / ".steelyard"
    for experiment in list(active._running):
        experiment.stop()
