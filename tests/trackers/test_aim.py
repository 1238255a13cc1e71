"""Aim keeps what it was given; read back through its query of a rebuilt index, and its SQLite."""

import math
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from backend_trials import artifact, try_a_file_in_the_way
from own_process import OwnProcess

from steelyard.builtin.backend.aim import AimBackend, run_hash
from steelyard.domain.track.events import Metric, Params, RunEnded, Tags
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    ReadBack,
    expected,
    facts,
    points,
)

# Aim's own use of its libraries warns of a future release of them.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """A repository as Aim makes it, in two seconds."""
    from aim import Repo

    directory = tmp_path_factory.mktemp("repository")
    Repo.from_path(str(directory), init=True)
    return directory / ".aim"


def read(directory):
    from aim import Repo

    repo = Repo.from_path(str(directory))
    runs = sorted(path.name for path in (directory / ".aim" / "meta" / "chunks").iterdir())
    meta = repo.request_tree("meta", runs[0], read_only=True).subtree(("meta", "chunks", runs[0]))
    series = repo.request_tree("seqs", runs[0], read_only=True)
    series = series.subtree(("seqs", "v2", "chunks", runs[0]))
    kept = ReadBack(runs=len(runs), params=meta.get(("attrs", "hparams"), {}))
    kept.status = meta["attrs", "steelyard", "status"]
    for context, names in meta.get("traces", {}).items():
        for name in names:
            one = series.subtree((context, name))
            _, steps = one.array("step").sparse_list()
            _, values = one.array("val").sparse_list()
            kept.metrics[name] = sorted(zip(steps, values, strict=True))
    for name in meta.get("artifacts", {}):
        kept.artifacts[name] = (directory / "artifacts" / runs[0] / name).read_bytes()
    kept.tags = tags(directory)
    return kept


def tags(directory):
    sql = (
        "SELECT tag.name FROM tag JOIN run_tag ON tag.id = tag_id JOIN run ON run.id = run_id"
        " ORDER BY run_tag.rowid"
    )
    with closing(sqlite3.connect(directory / ".aim" / "run_metadata.sqlite")) as connection:
        names = [row[0] for row in connection.execute(sql)]
    return dict(name.split("=", 1) for name in names)


class TestAim(BackendContract):
    @pytest.fixture
    def subject(self, empty):
        def make(directory):
            if not (directory / ".aim").exists():
                shutil.copytree(empty, directory / ".aim")
            return AimBackend(str(directory))

        return BackendSubject(AimBackend, make, read)


def make(directory):
    return OwnProcess(AimBackend, str(directory))


@pytest.fixture
def kept(empty, tmp_path):
    """A directory with an empty repository."""
    shutil.copytree(empty, tmp_path / "kept" / ".aim")
    return tmp_path / "kept"


def test_what_was_flushed_before_a_kill_is_there_and_once(kept):
    """Another process takes over what a killed one locked; a batch that comes again adds its rest.

    The heading of a run that was opened twice is one too.
    """
    first = make(kept)
    reference = first.open(facts())
    items = points(90)
    first.log([*items[:60], Params(values={"p": [1, "ä"]}, wall_ns=1)])
    first.flush()
    first.kill()
    again = make(kept)
    assert again.open(facts(reference)) == reference
    delivery = again.log(items)
    again.close(RunEnded(status="killed"))
    assert not delivery.refused
    found = read(kept)
    assert (found.metrics, found.runs, found.status) == (expected(items), 1, "killed")
    assert (found.params, found.tags) == ({"p": [1, "ä"]}, {"first": "tag"})


def test_a_run_opened_again_without_its_reference_is_the_same(kept):
    """A mirror that was killed between the opening and its note makes no second run."""
    first = make(kept)
    reference = first.open(facts())
    first.kill()
    again = make(kept)
    assert again.open(facts()) == reference
    again.close(None)
    found = read(kept)
    assert (found.runs, found.status, found.tags) == (1, "running", {"first": "tag"})


def test_two_runs_at_once_stay_apart(tmp_path):
    """Also when they are the first of a repository, which each would make."""
    runs = [msgspec.structs.replace(facts(), run_id=name) for name in "ab"]
    backends = [make(tmp_path) for _ in runs]
    references = []
    for backend, run in zip(backends, runs, strict=True):
        references.append(backend.open(run))
        backend.log(points(10))
    assert references == [f"{tmp_path}#{run_hash(name)}" for name in "ab"]
    for backend in backends:
        backend.log(points(20))
        backend.close(RunEnded(status="finished"))
    found = read(tmp_path)
    assert (found.metrics, found.runs) == (expected(points(20)), 2)


def test_what_aim_can_not_hold_is_refused_and_the_rest_kept(kept):
    backend = make(kept)
    backend.open(facts())
    items = [
        Metric(name="m", value=1.0, step=3, wall_ns=1),
        Metric(name="m", value=2.0, step=3, wall_ns=2),
        Metric(name="m", value=2.0, step=1 << 63, wall_ns=3),
        Metric(name="größe/λ", value=2.0, step=-5, wall_ns=4),
        Params(values={"big": {"a": [1 << 70]}, "a.b": {"ä": [1, "x"]}, "n": math.inf}, wall_ns=5),
        Params(values={"a.b": 4}, wall_ns=6),
    ]
    delivery = backend.log(items)
    backend.close(RunEnded(status="finished"))
    assert delivery.taken == len(items)
    assert set(delivery.refused) == {1, 2, 4}
    assert "one value" in delivery.refused[1]
    assert "'big'" in delivery.refused[4]
    found = read(kept)
    assert found.metrics == {"m": [(3, 1.0)], "größe/λ": [(-5, 2.0)]}
    assert found.params == {"a.b": 4, "n": math.inf}


def test_a_tag_has_its_last_value(kept):
    backend = make(kept)
    backend.open(facts())
    backend.log([Tags(values={"first": "other", "ä": "x=y"}, wall_ns=1)] * 2)
    backend.close(None)
    assert tags(kept) == {"first": "other", "ä": "x=y"}


def test_the_query_of_aim_finds_it_with_context_and_times(kept, tmp_path):
    """After `aim storage reindex`; nothing of this machine, its terminal or variables is there."""
    backend = make(kept)
    backend.open(facts())
    cpu = Metric(name="cpu", value=7.0, step=1, wall_ns=1_780_000_001_500_000_000, source="system")
    backend.log([cpu, *points(3), artifact(tmp_path, "plots/ä?.svg", b"<svg/>")])
    backend.close(RunEnded(status="finished"))
    command = [str(Path(sys.executable).with_name("aim")), "storage", "--repo", str(kept)]
    subprocess.run([*command, "reindex", "-y"], check=True, capture_output=True, timeout=110)
    command = [sys.executable, "-c", QUERY, str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    *metrics, run = done.stdout.splitlines()
    assert sorted(metrics) == [
        "cpu {'source': 'system'} [1] [7.0] [1780000001.5]",
        f"loss {{}} [0, 1] [0.0, {2 / 7}] [1780000000.0, 1780000000.002]",
        f"val/accuracy {{}} [0] [{1 / 7}] [1780000000.001]",
    ]
    assert run == "contract kit 1780000000.0 ['plots/ä?.svg'] ['steelyard'] True"


QUERY = """
import sys
from aim import Repo
repo = Repo.from_path(sys.argv[1])
for found in repo.query_metrics("run.experiment == 'kit'").iter_runs():
    for metric in found:
        steps, (values, _, times) = metric.data.items_list()
        print(metric.name, metric.context.to_dict(), *map(list, (steps, values, times)))
    run = found.run
    artifacts = list(run.meta_run_tree.get("artifacts", {}))
    attributes = sorted(run[...])
    print(run.name, run.experiment, run.creation_time, artifacts, attributes, not run.active)
"""


def test_a_directory_that_can_not_be_written_is_an_error_each_time(kept):
    try_a_file_in_the_way(make, read, kept / "file")
