"""MLflow keeps what it was given: read from its server's database and API, by neither of ours."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow_server import Server, make_on_server, on_server, read_run

from steelyard.builtin.backend.mlflow.entities import mlflow_name
from steelyard.builtin.backend.mlflow.tracking import MlflowBackend
from steelyard.domain.track.events import Artifact, Failure, Metric, Params, RunEnded, Tags
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    deliver,
    facts,
    points,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, of its dependencies

WALL_NS = 1_780_000_000_000_000_000


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("mlflow-server"))
    yield running
    running.kill()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database with MLflow's tables: making them takes it five seconds."""
    path = tmp_path_factory.mktemp("mlflow-empty") / "empty.db"
    backend = MlflowBackend(f"sqlite:///{path}", experiment="made with it")
    backend.open(facts())
    backend.close(None)
    database = sqlite3.connect(path)
    database.executescript("DELETE FROM tags; DELETE FROM runs;")
    database.close()
    return path


def in_database(directory):
    return read_run(directory / "mlflow.db", "kit", lambda uri: Path(uri.removeprefix("file://")))


class TestServer(BackendContract):
    @pytest.fixture
    def subject(self, server):
        return BackendSubject(
            MlflowBackend,
            lambda directory: make_on_server(server, directory),
            lambda directory: on_server(server, directory),
            same_param=lambda kept, given: kept == str(given),
        )


class TestDatabase(BackendContract):
    @pytest.fixture
    def subject(self, empty_database):
        def make(directory):
            directory.mkdir(exist_ok=True)
            if not (directory / "mlflow.db").exists():
                shutil.copy(empty_database, directory / "mlflow.db")
            return MlflowBackend(
                f"sqlite:///{directory}/mlflow.db", artifact_location=str(directory / "artifacts")
            )

        return BackendSubject(
            MlflowBackend, make, in_database, same_param=lambda kept, given: kept == str(given)
        )


@pytest.fixture
def opened(server, tmp_path):
    backend = make_on_server(server, tmp_path)
    backend.open(facts())
    yield backend
    backend.close(None)


def test_five_thousand_points_take_five_requests(server, opened, tmp_path):
    """And the API, which others read, has them all."""
    before = server.requests()
    assert opened.log(points(5_000)).taken == 5_000
    assert server.requests() - before == 5
    run_id = opened.open(facts(opened.open(facts())))
    token, values = "", []
    while True:
        page = server.get(
            "/metrics/get-history", run_id=run_id, metric_key="loss", max_results=1000,
            page_token=token,
        )  # fmt: skip
        values += [(value["step"], value["value"]) for value in page["metrics"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert values == [(point.step, point.value) for point in points(5_000) if point.name == "loss"]


def test_a_parameter_can_not_change_and_the_rest_of_its_batch_is_there(server, opened, tmp_path):
    """The later value is refused with MLflow's reason; the same value again is not."""
    items = [
        Params(values={"lr": 0.1, "depth": 3}, wall_ns=WALL_NS),
        Params(values={"lr": 0.1}, wall_ns=WALL_NS),
        Params(values={"lr": 0.2, "width": 8}, wall_ns=WALL_NS),
        *points(3),
    ]
    delivery = opened.log(items)
    assert delivery.taken == 6
    assert set(delivery.refused) == {2}
    assert delivery.refused[2] == "parameters can't be changed in MLflow: lr"
    kept = on_server(server, tmp_path)
    assert kept.params == {"lr": "0.1", "depth": "3", "width": "8"}
    assert sum(len(values) for values in kept.metrics.values()) == 3


def test_long_texts_are_refused_and_not_cut(server, opened, tmp_path):
    """MLflow itself would cut a parameter at 6,000 characters and say nothing."""
    items = [
        Params(values={"long": "x" * 10_000, "fits": "x" * 6_000}, wall_ns=WALL_NS),
        Tags(values={"note": "ä" * 8_001, "short": "ä" * 8_000}, wall_ns=WALL_NS),
        Params(values={f"p{n}": "ü" * 6_000 for n in range(150)}, wall_ns=WALL_NS),
    ]
    refused = deliver(opened, items)
    assert sorted(refused.values()) == [
        "a param of more than 6000 characters: long", "a tag of more than 8000 characters: note",
    ]  # fmt: skip
    kept = on_server(server, tmp_path)
    assert len(kept.params) == 151
    assert kept.params["p149"] == "ü" * 6_000
    assert kept.tags["short"] == "ä" * 8_000


NAMES = [
    "größe/損失", "a:b c.d-e_f", "grad%norm", "acc@5", "a//b", "/lead", "trail/", "..", "a/../b",
    "tokens(prompt)", "new\nline", "_0x25_", "😀",
]  # fmt: skip


def test_every_name_gets_there_and_can_be_told_again(server, opened, tmp_path):
    """What MLflow refuses in names is written otherwise, not dropped."""
    items = [
        *(Metric(name=name, value=1.5, step=0, wall_ns=WALL_NS) for name in NAMES),
        Params(values=dict.fromkeys(NAMES, 1), wall_ns=WALL_NS),
        Tags(values=dict.fromkeys(NAMES, "t"), wall_ns=WALL_NS),
    ]
    assert deliver(opened, items) == {}
    kept = on_server(server, tmp_path)
    expected = {mlflow_name(name) for name in NAMES}
    assert set(kept.metrics) == set(kept.params) == expected
    assert expected <= set(kept.tags)


def test_artifacts_with_odd_names_arrive_and_missing_ones_are_refused(server, opened, tmp_path):
    """A name can't leave the run's place, and a URL's own characters stay in it."""
    blob = tmp_path / "blob"
    blob.write_bytes(b"content")
    names = ["a b/ü.txt", "100%.txt", "a#b?c.txt", "../up.txt", "/abs.txt"]
    items = [
        Artifact(name=name, sha256="", size=7, path=str(blob), wall_ns=WALL_NS) for name in names
    ]
    gone = Artifact(name="gone", sha256="", size=1, path=str(tmp_path / "no"), wall_ns=WALL_NS)
    refused = deliver(opened, [*items, gone])
    assert refused == {str(gone): "artifacts whose content is gone"}
    kept = on_server(server, tmp_path)
    assert kept.artifacts == {mlflow_name(name, is_path=True): b"content" for name in names}


def test_values_that_mlflow_can_not_tell_apart_are_counted(opened):
    """Two in one millisecond with one name, step and value are one there."""
    same = [Metric(name="m", value=1.0, step=0, wall_ns=WALL_NS + n) for n in range(2)]
    other = Metric(name="m", value=2.0, step=0, wall_ns=WALL_NS)
    delivery = opened.log([*same, other])
    assert (delivery.taken, list(delivery.refused)) == (3, [1])


def test_the_run_has_its_name_start_source_and_failure(server, tmp_path):
    """What MLflow's page shows of a run beside its values."""
    backend = make_on_server(server, tmp_path)
    reference = backend.open(facts())
    failure = Failure(type="ValueError", message="boom", traceback="x" * 9_000 + "\nboom")
    backend.close(RunEnded(status="failed", failure=failure))
    run = server.get("/runs/get", run_id=reference)["run"]
    assert run["info"]["run_name"] == "contract"
    assert run["info"]["start_time"] == WALL_NS // 1_000_000
    assert run["info"]["status"] == "FAILED"
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags["steelyard.run_id"] == facts().run_id
    assert tags["steelyard.failure"].endswith("\nboom")
