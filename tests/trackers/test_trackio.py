"""Trackio keeps what it was given; read back with plain SQLite from its files."""

import json
import math
import sqlite3

import pytest
from backend_trials import artifact, try_a_file_in_the_way
from own_process import OwnProcess

from steelyard.builtin.backend.trackio import TrackioBackend, artifact_name
from steelyard.domain.track.events import Metric, Params, RunEnded
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    ReadBack,
    expected,
    facts,
    points,
)

MARKS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def query(directory, sql, *values):
    (file,) = directory.glob("*.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        rows = connection.execute(sql, values).fetchall()
    connection.close()
    return rows


def read(directory, run_id=""):
    runs = [row[0] for row in query(directory, "SELECT DISTINCT run_id FROM metrics")]
    run_id = run_id or runs[0]
    ((config,),) = query(directory, "SELECT config FROM configs WHERE run_id = ?", run_id)
    config = json.loads(config)
    ours = config.pop("steelyard")
    kept = ReadBack(runs=len(runs), status=ours["status"], tags=ours["tags"])
    kept.params = {key: value for key, value in config.items() if not key.startswith("_")}
    sql = "SELECT step, metrics FROM metrics WHERE run_id = ? ORDER BY id"
    for step, metrics in query(directory, sql, run_id):
        for name, value in json.loads(metrics).items():
            kept.metrics.setdefault(name, []).append((step, MARKS.get(value, value)))
    sql = (
        "SELECT manifest FROM artifact_aliases JOIN artifact_versions"
        " ON artifact_versions.id = artifact_version_id WHERE alias = ?"
    )
    for (manifest,) in query(directory, sql, f"run-{run_id}"):
        (entry,) = json.loads(manifest)
        (blob,) = directory.glob(f"artifacts/*/blobs/sha256/*/{entry['digest']}")
        kept.artifacts[entry["path"]] = blob.read_bytes()
    return kept


def make(directory):
    return OwnProcess(TrackioBackend, str(directory))


class TestTrackio(BackendContract):
    @pytest.fixture
    def subject(self):
        return BackendSubject(TrackioBackend, make, read)


def test_what_was_sent_before_a_kill_is_there_and_once(tmp_path):
    """A batch that comes again, longer and in another process, adds what is new and no more."""
    first = make(tmp_path)
    reference = first.open(facts())
    items = points(90)
    first.log([*items[:60], Params(values={"p": [1, "ä"]}, wall_ns=1)])
    first.kill()
    again = make(tmp_path)
    assert again.open(facts(reference)) == reference
    again.log(items)
    again.close(RunEnded(status="killed"))
    kept = read(tmp_path)
    assert (kept.metrics, kept.runs, kept.status) == (expected(items), 1, "killed")
    assert (kept.params, kept.tags) == ({"p": [1, "ä"]}, {"first": "tag"})


def test_two_values_of_one_step_are_two(tmp_path):
    backend = make(tmp_path)
    backend.open(facts())
    backend.log([Metric(name="m", value=1.0, step=3, wall_ns=7)] * 2)
    backend.close(None)
    assert read(tmp_path).metrics == {"m": [(3, 1.0), (3, 1.0)]}


def test_two_runs_at_once_stay_apart(tmp_path):
    """Two processes write to one project's file."""
    import msgspec

    runs = [msgspec.structs.replace(facts(), run_id=name, tags={"n": name}) for name in "ab"]
    backends = [make(tmp_path) for _ in runs]
    for backend, run in zip(backends, runs, strict=True):
        backend.open(run)
    for start in range(0, 40, 10):
        for number, backend in enumerate(backends):
            backend.log(points(10, first=start + 100 * number))
    for backend in backends:
        backend.close(RunEnded(status="finished"))
    for number, name in enumerate("ab"):
        kept = read(tmp_path, name)
        assert kept.metrics == expected(points(40, first=100 * number))
        assert (kept.tags, kept.runs) == ({"n": name}, 2)


def test_what_trackio_can_not_hold_is_refused_and_the_rest_kept(tmp_path):
    backend = make(tmp_path)
    backend.open(facts())
    items = [
        Metric(name="step", value=1.0, step=0, wall_ns=1),
        Metric(name="größe/λ", value=2.0, step=-5, wall_ns=1),
        Metric(name="m", value=2.0, step=1 << 63, wall_ns=1),
        Params(values={"_x": 1, "big": 1 << 70, "deep": {"a": ["NaN"]}, "good": [1, math.inf]},
               wall_ns=1),
    ]  # fmt: skip
    delivery = backend.log(items)
    backend.close(None)
    assert delivery.taken == 4
    assert set(delivery.refused) == {0, 2, 3}
    assert all(f"'{name}'" in delivery.refused[3] for name in ("_x", "big", "deep"))
    kept = read(tmp_path)
    assert kept.metrics == {"größe/λ": [(-5, 2.0)]}
    assert kept.params == {"good": [1, "Infinity"]}
    assert kept.status == "running"


def test_an_earlier_content_logged_again_is_the_last_one(tmp_path):
    """Trackio has no third version for it: the run's alias goes back to the first."""
    backend = make(tmp_path / "kept")
    backend.open(facts())
    one, two = artifact(tmp_path, "ä/m", b"one"), artifact(tmp_path, "ä/m", b"two")
    backend.log([one, two, one])
    backend.close(None)
    assert read(tmp_path / "kept").artifacts == {"ä/m": b"one"}
    name = artifact_name("ä/m")
    assert query(tmp_path / "kept", "SELECT name FROM artifacts") == [(name,)]
    assert query(tmp_path / "kept", "SELECT max(version) FROM artifact_versions") == [(1,)]


def test_a_directory_that_can_not_be_written_is_an_error_each_time(tmp_path):
    try_a_file_in_the_way(make, read, tmp_path / "file")


def test_one_process_has_one_directory(tmp_path):
    """Trackio fixes its directory when it is imported: another one is refused, not ignored."""
    backend = OwnProcess(_other_directory, tmp_path)
    with pytest.raises(RuntimeError, match="one directory"):
        backend.open(facts())
    backend.close(None)


def _other_directory(tmp_path):
    first = TrackioBackend(str(tmp_path / "a"))
    first.open(facts())
    first.close(None)
    return TrackioBackend(str(tmp_path / "b"))
