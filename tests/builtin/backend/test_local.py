"""Another store of runs: the same run, with the times at which it was logged."""

import pytest

from steelyard.builtin.backend.local import LocalBackend
from steelyard.domain.track.events import Artifact, RunEnded
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.reader import facts_of, read_run
from steelyard.testing.contracts.backend import facts, points


def test_the_times_are_those_of_the_run(tmp_path):
    backend = LocalBackend(str(tmp_path))
    backend.open(facts())
    items = points(4)
    backend.log(items)
    backend.close(RunEnded(status="finished"))
    (place,) = Store(tmp_path).places()
    run = read_run(place)
    assert (run.run_id, run.name, run.started_ns) == (
        facts().run_id,
        "contract",
        facts().started_ns,
    )
    times = [event.wall_ns for fact, event in facts_of(place) if hasattr(fact, "step")]
    assert times == [item.wall_ns for item in items]


def test_an_artifact_that_is_not_what_it_was_is_not_taken(tmp_path):
    (tmp_path / "blob").write_bytes(b"changed")
    item = Artifact(name="m", sha256="00", size=1, path=str(tmp_path / "blob"), wall_ns=1)
    backend = LocalBackend(str(tmp_path / "store"))
    backend.open(facts())
    with pytest.raises(SteelyardError, match="not what it was"):
        backend.log([item])
    backend.close(None)


def test_it_must_be_open_to_log(tmp_path):
    with pytest.raises(PluginError, match="not open"):
        LocalBackend(str(tmp_path)).log(points(1))
