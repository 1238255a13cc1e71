"""A benchmark that is tracked reaches three trackers at once, read back from their own files."""

import contextlib
import json
import sqlite3
import struct
import time

import pytest
from acceptance_runs import mock_server, run

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the trackers' own
    pytest.mark.timeout(400),
]

BLOCK = 32_768
DELIVERED_S = 200
P99 = "time_to_first_token.p99"
RATE = "live/profiling/request_rate"


def closed(store, label):
    """A mirror has told its tracker of the end; on a busy machine that is after the benchmark's."""
    files = list(store.glob(f"runs/*/mirrors/{label}.json"))
    return len(files) == 1 and json.loads(files[0].read_bytes())["place"].get("closed", False)


@pytest.fixture(scope="module")
def benchmark_run(tmp_path_factory):
    """One tracked benchmark: the run, and the directory with all three trackers' files."""
    folder = tmp_path_factory.mktemp("tracked")
    options = {
        "mlflow": {
            "tracking_uri": f"sqlite:///{folder}/mlflow.db",
            "artifact_location": str(folder / "mlflow-artifacts"),
        },
        "wandb": {"mode": "offline", "directory": str(folder / "wandb")},
        "tensorboard": {"directory": str(folder / "tensorboard"), "scalars": "double"},
    }
    plan = {
        "track": {"backends": list(options), "options": options, "directory": str(folder / "s")}
    }
    (folder / "plan.yaml").write_text(json.dumps(plan))
    flags = ("--config", str(folder / "plan.yaml"), "--benchmark-duration", "9", "--streaming",
             "--request-rate", "40", "--fail-on", "")  # fmt: skip
    with mock_server("--ttft-ms", "5") as url:
        done = run(url, folder / "artifacts", *flags, timeout_s=120)
    assert done.process.returncode == 0, done.err
    deadline = time.monotonic() + DELIVERED_S
    while not all(closed(folder / "s", label) for label in options):
        assert time.monotonic() < deadline, done.err
        time.sleep(0.2)
    return done, folder


def check(done, values):
    """Live figures step by step, and the summary's numbers to the digit."""
    assert len(values[RATE]) >= 5
    assert max(values[RATE]) > 10
    assert values[P99] == [done.summary["metrics"]["time_to_first_token"]["p99"]]


def test_mlflow_has_it(benchmark_run):
    done, folder = benchmark_run
    database = sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True)
    with contextlib.closing(database) as tables:
        ((status,),) = tables.execute("SELECT status FROM runs").fetchall()
        assert status == "FINISHED"
        values = {}
        for key, value in tables.execute("SELECT key, value FROM metrics ORDER BY step"):
            values.setdefault(key, []).append(value)
        check(done, values)
        tags = dict(tables.execute("SELECT key, value FROM tags").fetchall())
        assert tags["verdict"] == done.summary["verdict"]["status"]
        params = dict(tables.execute("SELECT key, value FROM params").fetchall())
        assert float(params["phases.0.request_rate"]) == 40
    (kept,) = (folder / "mlflow-artifacts").rglob("profile_export.json")
    assert kept.read_bytes() == (folder / "artifacts" / "profile_export.json").read_bytes()


def wandb_records(path):
    """Yield the records of W&B's log; fragments are put together over blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    place, record = 7, b""
    while place + 7 <= len(data):
        room = BLOCK - place % BLOCK
        if room < 7:
            place += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def test_wandb_has_it(benchmark_run):
    done, folder = benchmark_run
    (path,) = (folder / "wandb").rglob("run-*.wandb")
    values, exits, files = {}, [], set()
    for record in wandb_records(path):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                values.setdefault(name, []).append(json.loads(item.value_json))
        elif kind == "artifact":
            files |= {entry.path for entry in record.artifact.manifest.contents}
        elif kind == "exit":
            exits.append(record.exit.exit_code)
    check(done, values)
    assert exits == [0]
    assert "profile_export.json" in files


def test_tensorboard_has_it(benchmark_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    done, folder = benchmark_run
    (directory,) = {file.parent for file in (folder / "tensorboard").rglob("*tfevents*")}
    read = EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()
    values = {
        tag: [tensor_util.make_ndarray(event.tensor_proto).item() for event in read.Tensors(tag)]
        for tag in (RATE, P99)
    }
    check(done, values)
