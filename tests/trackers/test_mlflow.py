"""MLflow keeps what it was given: read from its server's database and API, by neither of ours."""

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from steelyard.builtin.backend.mlflow.entities import mlflow_name
from steelyard.builtin.backend.mlflow.tracking import MlflowBackend
from steelyard.domain.track.events import Artifact, Metric, Params, RunEnded, Tags
from steelyard.domain.track.ports import Delivery
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    ReadBack,
    deliver,
    facts,
    points,
)
from steelyard.track import Experiment, sync

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, of its dependencies

STATUSES = {1: "running", "RUNNING": "running", "FINISHED": "finished", "FAILED": "failed",
            "KILLED": "killed"}  # fmt: skip
START_S = 60
WALL_NS = 1_780_000_000_000_000_000


class Server:
    """`mlflow server` over SQLite, with a proxy for artifacts, on a port that stays its own."""

    def __init__(self, directory):
        self.directory = directory
        self.database = directory / "server.db"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "server.log"
        self.start()

    def start(self):
        settings = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        words = [
            "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--artifacts-destination", str(self.directory / "artifacts"), "--serve-artifacts",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                env={**os.environ, **settings}, cwd=self.directory, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def answers(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.url}/health", timeout=1).status == 200
        return False

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def get(self, path, **query):
        address = f"{self.url}/api/2.0/mlflow{path}?{urllib.parse.urlencode(query)}"
        return json.load(urllib.request.urlopen(address, timeout=10))

    def requests(self):
        return self.log.read_text().count("/runs/log-batch")


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


def read_run(database, experiment, artifacts):
    """Return the only run of an experiment from the tables; values in the order of their rows."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as tables:
        rows = tables.execute(
            "SELECT run_uuid, status, artifact_uri FROM runs JOIN experiments USING (experiment_id)"
            " WHERE experiments.name = ?",
            [experiment],
        ).fetchall()
        ((run_id, status, uri), *_) = rows
        kept = ReadBack(status=STATUSES[status], runs=len(rows))
        for key, value, step, is_nan in tables.execute(
            "SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid",
            [run_id],
        ):
            kept.metrics.setdefault(key, []).append((step, math.nan if is_nan else value))
        for table in ("params", "tags"):
            found = tables.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [run_id])
            getattr(kept, table).update(found.fetchall())
    folder = artifacts(uri)
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file():
            kept.artifacts[str(path.relative_to(folder))] = path.read_bytes()
    return kept


def on_server(server, directory):
    def folder(uri):
        return server.directory / "artifacts" / uri.partition("mlflow-artifacts:/")[2]

    return read_run(server.database, directory.name, folder)


def make_on_server(server, directory):
    return MlflowBackend(server.url, experiment=directory.name)


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


def test_a_batch_that_is_sent_again_doubles_nothing(server, opened, tmp_path):
    """As after a time-out, when nobody knows how much of it is there."""
    opened.log(points(300))
    again = make_on_server(server, tmp_path)
    again.open(facts())  # the reference was lost too: the run is found by its tag
    assert again.log(points(400)) == Delivery(400)
    kept = on_server(server, tmp_path)
    assert kept.runs == 1
    assert sum(len(values) for values in kept.metrics.values()) == 400


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
    from steelyard.domain.track.events import Failure

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


def test_a_deleted_run_keeps_the_batch_waiting(server, opened, tmp_path):
    """It could be restored: nothing is dropped for that."""
    from mlflow import MlflowClient

    opened.log(points(2))
    client = MlflowClient(server.url)
    run_id = opened.open(facts(opened.open(facts())))
    client.delete_run(run_id)
    with pytest.raises(PluginError, match="was deleted"):
        opened.log(points(4))
    client.restore_run(run_id)
    assert opened.log(points(4)).taken == 4


def test_a_dead_server_is_told_in_time_and_without_the_password():
    """The error goes into the mirror's file."""
    backend = MlflowBackend("http://someone:hunter2@127.0.0.1:9", timeout_s=5)
    begun = time.monotonic()
    with pytest.raises(PluginError) as raised:
        backend.open(facts())
    assert time.monotonic() - begun < 10
    assert "hunter2" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_a_server_killed_in_the_middle_loses_and_doubles_nothing(server, tmp_path, monkeypatch):
    """The run is logged through a mirror of its own process; the server comes back."""
    monkeypatch.setenv("STEELYARD_TRACK_DIR", str(tmp_path / "store"))
    options = {"tracking_uri": server.url, "experiment": tmp_path.name, "timeout_s": 5}
    with Experiment("cut", backend={"mlflow": options}) as experiment:
        for step in range(2_000):
            experiment.log_metric("loss", step / 3, step)
            if step == 1_000:
                deadline = time.monotonic() + 30
                while not _values(server, tmp_path) and time.monotonic() < deadline:
                    time.sleep(0.1)
                assert _values(server, tmp_path)
                server.kill()
    server.start()
    place = synced(experiment.run_id, options, tmp_path / "store")
    assert (place.closed, place.delivered) == (True, 2_000)
    kept = on_server(server, tmp_path)
    assert kept.runs == 1
    assert kept.status == "finished"
    assert kept.metrics == {"loss": [(step, step / 3) for step in range(2_000)]}


def synced(run_id, options, store):
    """Return how far the mirror is: the run's own is still trying, for a while."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            (done,) = sync(run_id, {"mlflow": options}, directory=store)
        except UsageError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return done.place


def _values(server, directory):
    """Return how many there are; none before the run is there."""
    with contextlib.suppress(ValueError):
        return sum(map(len, on_server(server, directory).metrics.values()))
    return 0
