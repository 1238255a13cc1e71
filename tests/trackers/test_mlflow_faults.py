"""MLflow's server fails, hangs or is busy: nothing is lost, doubled or dropped for that."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from mlflow.exceptions import MlflowException
from mlflow_server import START_S, Server, make_on_server, on_server

from steelyard.builtin.backend.mlflow.tracking import MlflowBackend
from steelyard.domain.track.ports import Delivery
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.testing.contracts.backend import facts, points
from steelyard.track import Experiment, sync

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, of its dependencies


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("mlflow-server"))
    yield running
    running.kill()


@pytest.fixture
def opened(server, tmp_path):
    backend = make_on_server(server, tmp_path)
    backend.open(facts())
    yield backend
    backend.close(None)


def test_a_batch_that_is_sent_again_doubles_nothing(server, opened, tmp_path):
    """As after a time-out, when nobody knows how much of it is there."""
    opened.log(points(300))
    again = make_on_server(server, tmp_path)
    again.open(facts())  # the reference was lost too: the run is found by its tag
    assert again.log(points(400)) == Delivery(400)
    kept = on_server(server, tmp_path)
    assert kept.runs == 1
    assert sum(len(values) for values in kept.metrics.values()) == 400


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


def test_a_server_that_hangs_is_told_in_time_and_gets_all_once(server, tmp_path, monkeypatch):
    """It may take what it was sent after nobody waits for it any more."""
    backend = make_on_server(server, tmp_path)
    backend.open(facts())
    with monkeypatch.context() as soon:
        soon.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with server.stopped(), pytest.raises(MlflowException, match="timed out"):
            backend.log(points(100))
    assert backend.log(points(120)).taken == 120
    backend.close(None)
    assert _values(server, tmp_path) == 120


def test_runs_that_begin_at_once_share_their_new_experiment(server, tmp_path):
    """Only one of them can make it."""
    runs = [msgspec.structs.replace(facts(), run_id=f"run-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        references = list(pool.map(lambda run: make_on_server(server, tmp_path).open(run), runs))
    assert len(set(references)) == 4
    found = [server.get("/runs/get", run_id=reference)["run"]["info"] for reference in references]
    assert len({info["experiment_id"] for info in found}) == 1


def test_a_dead_server_is_told_in_time_and_without_the_password():
    """The error goes into the mirror's file."""
    backend = MlflowBackend("http://someone:hunter2@127.0.0.1:9", timeout_s=5)
    begun = time.monotonic()
    with pytest.raises(PluginError) as raised:
        backend.open(facts())
    assert time.monotonic() - begun < 60
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
                deadline = time.monotonic() + 60
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
