"""W&B keeps what it was given: read from the files that `wandb sync` would upload."""

import contextlib
import gc
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from small_disk import small_disk

from steelyard.builtin.backend.wandb.rows import OURS, STEP
from steelyard.builtin.backend.wandb.runs import WandbOfflineBackend
from steelyard.domain.track.events import Artifact, Failure, Metric, Params, RunEnded, Tags
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    ReadBack,
    deliver,
    expected,
    facts,
    points,
)
from steelyard.track import Experiment, sync

pytestmark = pytest.mark.filterwarnings("ignore")  # W&B's own

STATUSES = {0: "finished", 1: "failed", 255: "killed"}
WALL_NS = 1_780_000_000_000_000_000
BLOCK = 32_768


def records(path):
    """Return the records of W&B's log; fragments are put together over blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, record, found = 7, b"", []
    while place + 7 <= len(data):
        room = BLOCK - place % BLOCK
        if room < 7:
            place += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if place > len(data):
            break
        if kind in {1, 4}:
            found.append(wandb_internal_pb2.Record.FromString(record))
            record = b""
    return found


def by_key(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def parts(directory):
    return sorted(
        (directory / "wandb").glob("*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns
    )


def read(directory):
    """Return the only run in a directory, over its parts in order."""
    kept = ReadBack(runs=len({path.name for path in parts(directory)}))
    for path in parts(directory):
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                row = by_key(record.history.item)
                for name, value in row.items():
                    if not name.startswith("_") and name != STEP:
                        kept.metrics.setdefault(name, []).append((row[STEP], float(value)))
            elif kind in {"run", "config"}:
                config = record.config if kind == "config" else record.run.config
                kept.params.update(by_key(config.update))
            elif kind == "artifact":
                for entry in record.artifact.manifest.contents:
                    kept.artifacts[entry.path] = Path(entry.local_path).read_bytes()
            elif kind == "exit":
                kept.status = STATUSES[record.exit.exit_code]
    kept.params.pop("_wandb", None)
    kept.tags = kept.params.pop(OURS, {}).get("tags", {})
    return kept


def make(directory):
    return WandbOfflineBackend(str(directory))


@pytest.fixture(autouse=True)
def data_directory(monkeypatch):
    """The backend sets it once a process, for the first directory."""
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    yield
    gc.collect()  # W&B leaves its processes to the collector, which warns of them


class TestOffline(BackendContract):
    @pytest.fixture
    def subject(self):
        return BackendSubject(WandbOfflineBackend, make, read)


@pytest.fixture
def opened(tmp_path):
    backend = make(tmp_path)
    backend.open(facts())
    yield backend
    backend.close(None)


def core_of(pid):
    """Return the process of W&B that belongs to a process."""
    found = [child for child in psutil.Process(pid).children() if "wandb-core" in child.name()]
    return found[-1] if found else None


def test_values_keep_their_step_and_time_whatever_the_order(tmp_path):
    """W&B's own step can't go back: it counts rows, and charts go by the column of ours."""
    items = [
        Metric(name=name, value=value, step=step, wall_ns=WALL_NS + offset_ns)
        for name, value, step, offset_ns in [
            ("loss", 3.0, 7, 0), ("acc", 0.1, 7, 1_000), ("loss", 2.0, 3, 2_000),
            ("loss", 1.0, 7, 3_000), ("loss", 0.5, 7, 4_000), ("acc", 0.2, 7, 2_000_000_000),
        ]
    ]  # fmt: skip
    backend = make(tmp_path)
    backend.open(facts())
    deliver(backend, items)
    backend.close(RunEnded(status="finished"))
    assert read(tmp_path).metrics == expected(items)
    found = records(*parts(tmp_path))
    rows = [by_key(record.history.item) for record in found if record.HasField("history")]
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row[STEP] for row in rows] == [7, 3, 7, 7, 7]
    assert rows[0]["_timestamp"] == WALL_NS / 1e9
    assert rows[4]["_timestamp"] == WALL_NS / 1e9 + 2
    metrics = [record.metric for record in found if record.HasField("metric")]
    assert {(m.glob_name, m.step_metric) for m in metrics if m.glob_name} == {("*", STEP)}


def test_the_page_of_a_run_has_its_facts(tmp_path):
    """Name, project, start, tags, notes, configuration, summary and the exception."""
    backend = make(tmp_path)
    run = msgspec.structs.replace(
        facts(), project="team/größe #1", tags={"k": "v", "long": "x" * 80}
    )
    backend.open(run)
    backend.log([
        Params(values={"lr": 0.1, "net": {"layers": [1, math.inf]}}, wall_ns=1),
        Params(values={"text": "ü" * 10_000}, wall_ns=1),
        Params(values={"lr": 0.2, OURS: 1}, wall_ns=1),
        Tags(values={"k": "w", "notes": "a try"}, wall_ns=1),
        *points(4),
    ])  # fmt: skip
    failure = Failure(type="ValueError", message="boom", traceback="...\nValueError: boom")
    backend.close(RunEnded(status="failed", failure=failure))
    found = records(*parts(tmp_path))
    last = [record.run for record in found if record.HasField("run")][-1]
    assert (last.display_name, last.project, last.notes) == ("contract", "team-größe-1", "a try")
    assert list(last.tags) == ["k=w", "notes=a try"]
    kept = read(tmp_path)
    assert kept.params["lr"] == 0.2
    assert kept.params["net"] == {"layers": [1, "Infinity"]}
    assert kept.params["text"] == "ü" * 10_000
    assert kept.tags["long"] == "x" * 80
    summary = {}
    for record in found:
        if record.HasField("summary"):
            summary.update(by_key(record.summary.update))
    assert summary["steelyard/status"] == "failed"
    assert summary["steelyard/failure"].endswith("ValueError: boom")
    assert summary["loss"] == points(4)[2].value


def test_names_of_any_kind_are_kept(tmp_path, opened):
    """But for W&B's own, which would break its rows."""
    names = ["größe/損失", "a.b", "x y", "acc@5", "_hidden", "😀", "new\nline", "a" * 300]
    taken = ["_step", "_timestamp", "_runtime", "_wandb", STEP]
    items = [Metric(name=n, value=1.5, step=0, wall_ns=WALL_NS) for n in [*names, *taken]]
    refused = opened.log(items).refused
    assert [items[index].name for index in refused] == taken
    blob = tmp_path / "blob"
    blob.write_bytes(b"content")
    files = ["a b/ü.txt", "100%:x.txt", "x" * 200, "../up", "/abs", "gone"]
    artifacts = [
        Artifact(name=n, sha256="", size=7, path=str(blob) + n * (n == "gone"), wall_ns=1)
        for n in files
    ]
    assert set(opened.log(artifacts).refused) == {3, 4, 5}
    opened.close(RunEnded(status="finished"))
    seen = [by_key(r.history.item) for r in records(*parts(tmp_path)) if r.HasField("history")]
    assert [row[name] for row in seen for name in names if name in row] == [1.5] * len(names)
    assert read(tmp_path).artifacts == dict.fromkeys(files[:3], b"content")


def test_values_survive_the_death_of_wandb(tmp_path):
    """Its process has up to 32 KiB in memory only; they are told again to the next."""
    backend = make(tmp_path)
    backend.open(facts())
    backend.log([*points(100), Params(values={"lr": 1}, wall_ns=1)])
    core = core_of(os.getpid())
    core.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        while core.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
    time.sleep(0.2)
    with pytest.raises(OSError, match=r"."):
        backend.log(points(100, first=100))
    backend.log(points(100, first=100))
    backend.close(RunEnded(status="finished"))
    kept = read(tmp_path)
    assert kept.metrics == expected(points(200))
    assert (kept.params, kept.status, kept.runs) == ({"lr": 1}, "finished", 1)


SCRIPT = """
import sys
from steelyard.builtin.backend.wandb.runs import WandbBackend
from steelyard.domain.track.events import Params
from steelyard.testing.contracts.backend import facts, points
backend = WandbBackend("offline", sys.argv[1])
print(backend.open(facts()), flush=True)
backend.log(points(500))
backend.log([*points(500, first=500), Params(values={"lr": 1}, wall_ns=1)])
print("sent", flush=True)
sys.stdin.read()
"""


def test_a_killed_mirror_loses_and_doubles_nothing(tmp_path):
    """Nor does W&B's, killed with it, though it had rows in memory only; a batch comes again."""
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dead:
        reference = dead.stdout.readline().strip()
        assert dead.stdout.readline() == "sent\n"
        core_of(dead.pid).kill()  # alone it would write what it can before it follows
        dead.send_signal(signal.SIGKILL)
    (part,) = parts(tmp_path)
    os.truncate(part, 50_000)  # how much of the rest was written is a matter of luck
    assert sum(map(len, read(tmp_path).metrics.values())) < 500
    backend = make(tmp_path)
    backend.open(facts(reference))
    # Nobody noted that the second batch was taken; it is cut otherwise now.
    backend.log(points(200, first=500))
    backend.log([*points(300, first=700), Params(values={"lr": 1}, wall_ns=1)])
    backend.log(points(10, first=1_000))
    backend.close(RunEnded(status="finished"))
    kept = read(tmp_path)
    assert kept.metrics == expected(points(1_010))
    assert (kept.params, kept.runs) == ({"lr": 1}, 1)


def test_a_directory_that_can_not_be_written_is_an_error(tmp_path):
    """W&B itself would take the system's temporary directory, and say nothing."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        make(tmp_path / "file").open(facts())


def test_rows_that_found_no_room_are_noticed_and_sent_again(tmp_path):
    """W&B says nothing of a full disk: its file is read before the run counts as told."""
    import wandb

    with small_disk(tmp_path / "small", 1_500) as disk:
        backend = WandbOfflineBackend(str(disk), timeout_s=10.0)
        reference = backend.open(facts())
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 200_000))
        backend.log(points(1_200))
        with pytest.raises(PluginError, match="rows"):
            backend.close(RunEnded(status="finished"))
        (disk / "filler").unlink()
        again = WandbOfflineBackend(str(disk))
        again.open(facts(reference))
        again.close(RunEnded(status="finished"))
        assert read(disk).metrics == expected(points(1_200))
        wandb.teardown()  # its process has files there


def test_two_runs_at_once_keep_apart(tmp_path):
    """In one process and one directory, and beside a run that the script has with W&B itself."""
    import wandb

    own = wandb.init(mode="offline", dir=tmp_path / "own", settings=wandb.Settings(silent=True))
    runs = [make(tmp_path), make(tmp_path)]
    for number, backend in enumerate(runs):
        backend.open(msgspec.structs.replace(facts(), run_id=f"run-{number}"))
    for point in points(40):
        for number, backend in enumerate(runs):
            backend.log([msgspec.structs.replace(point, value=float(number))])
    assert wandb.run is own
    for backend in runs:
        backend.close(RunEnded(status="finished"))
    own.log({"still": 1})
    own.finish()
    for number in range(2):
        (part,) = (tmp_path / "wandb").glob(f"offline*/run-run-{number}.wandb")
        rows = [by_key(r.history.item) for r in records(part) if r.HasField("history")]
        assert len(rows) == 40
        assert {row["loss"] for row in rows if "loss" in row} == {float(number)}


def test_a_mirror_delivers_a_whole_run(tmp_path, monkeypatch):
    """From a script, by the mirror's own process."""
    monkeypatch.setenv("STEELYARD_TRACK_DIR", str(tmp_path / "store"))
    options = {"wandb_offline": {"directory": str(tmp_path)}}
    with Experiment("whole", project="p", backend=options) as experiment:
        experiment.log_params({"optimizer": {"lr": 0.1}})
        for step in range(300):
            experiment.log_metrics({"loss": step / 3, "acc": step / 7}, step)
        experiment.log_bytes(b"weights", "model.bin")
    assert experiment.mirrors()["wandb_offline"].closed
    kept = read(tmp_path)
    assert kept.metrics["loss"] == [(step, step / 3) for step in range(300)]
    assert kept.params == {"optimizer.lr": 0.1}
    assert (kept.artifacts, kept.status) == ({"model.bin": b"weights"}, "finished")


KEY = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = """
import json, sys, time
from steelyard.track import Experiment
with Experiment("nowhere", backend={"wandb": json.loads(sys.stdin.read())}) as experiment:
    experiment.log_metric("loss", 1.0, 0)
    begun = time.monotonic()
    while not (told := experiment.mirrors()["wandb"]).last_error and time.monotonic() - begun < 60:
        time.sleep(0.1)
print(json.dumps([experiment.run_id, told.last_error, told.closed]))
"""


def test_a_server_that_is_not_there_is_told_in_time_and_the_key_nowhere(tmp_path):
    """The mirror tries again; no file below, title or message has the key."""
    options = {
        "mode": "online", "directory": str(tmp_path), "base_url": "http://127.0.0.1:9",
        "api_key": KEY, "timeout_s": 5,
    }  # fmt: skip
    home = {"STEELYARD_TRACK_DIR": str(tmp_path / "store"), "HOME": str(tmp_path / "home")}
    script = subprocess.run(
        [sys.executable, "-c", NOWHERE], input=json.dumps(options), env={**os.environ, **home},
        capture_output=True, text=True, timeout=110, check=True,
    )  # fmt: skip
    run_id, error, closed = json.loads(script.stdout)
    assert "127.0.0.1:9" in error
    assert not closed
    titles = {p.pid: " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])}
    assert not [title for title in titles.values() if KEY in title]
    for pid in (pid for pid, title in titles.items() if run_id in title):
        with contextlib.suppress(psutil.NoSuchProcess):  # the mirror is still at it
            mirror = psutil.Process(pid)
            mirror.kill()
            mirror.wait(60)
    begun = time.monotonic()
    (done,) = sync(run_id, {"wandb": options}, directory=tmp_path / "store", timeout_s=3)
    assert (done.done, done.place.delivered) == (False, 0)
    assert time.monotonic() - begun < 60
    assert KEY not in script.stdout + script.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
