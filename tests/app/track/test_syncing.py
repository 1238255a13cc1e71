"""What a mirror missed is delivered later, from where it stopped."""

import fcntl
import json
import threading
import time

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.syncing import sync
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.mirror import mirror_path


def lines(directory):
    (file,) = directory.glob("*/events.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def ended():
    with Experiment("e", run_id="mine", params={"lr": 0.1}) as experiment:
        for step in range(10):
            experiment.log_metric("m", step, step)
        experiment.log_bytes(b"\x00\xff", "model.bin")
    return experiment


def test_a_run_is_mirrored_after_it_ended(ended, tmp_path):
    target = {"jsonl": {"directory": str(tmp_path / "out")}}
    (synced,) = sync("mine", target)
    assert (synced.done, synced.place.delivered) == (True, 12)
    assert [line["kind"] for line in lines(tmp_path / "out")] == [
        "start", "params", *["metric"] * 10, "artifact", "end",
    ]  # fmt: skip
    assert (tmp_path / "out" / "mine" / "artifacts" / "model.bin").read_bytes() == b"\x00\xff"


def test_what_was_delivered_is_not_delivered_again(ended, tmp_path):
    target = {"jsonl": {"directory": str(tmp_path / "out")}}
    sync("mine", target)
    (again,) = sync("last")
    assert (again.label, again.done, again.place.delivered) == ("jsonl", True, 12)
    assert [line["kind"] for line in lines(tmp_path / "out")].count("metric") == 10


def test_a_run_of_another_store_is_named_by_its_directory(ended, tmp_path, monkeypatch):
    directory = str(ended.directory)
    monkeypatch.chdir("/")
    (synced,) = sync(directory, {"jsonl": {"directory": str(tmp_path / "out")}})
    assert synced.done
    assert (tmp_path / "out" / "mine" / "artifacts" / "model.bin").is_file()


def test_a_sync_waits_for_the_mirror_that_is_still_at_it(ended, tmp_path, caplog):
    """As a script's own is for a while after its end; what that one delivers is not sent again."""
    target = {"jsonl": {"directory": str(tmp_path / "out")}}
    lock = mirror_path(RunPlace(ended.directory), "jsonl").with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="by another process"):
            sync("mine", target, timeout_s=0.3)
        waiting = threading.Timer(0.5, fcntl.flock, (held, fcntl.LOCK_UN))
        waiting.start()
        (synced,) = sync("mine", target)
        waiting.join()
    assert (synced.done, synced.place.delivered) == (True, 12)
    assert "'jsonl' is still at it: waiting" in caplog.text


def test_a_sync_tells_what_the_run_was_to_tell(tmp_path):
    """Rules and samplings of a mirror are kept with it; a backend that was dead misses nothing."""

    class Down:
        name = "jsonl"

        def open(self, run):
            raise ConnectionError("refused")

        log = flush = close = None

    target = {"jsonl": Down()}
    rules = [{"to": "*", "name": "m", "sample": {"every": 4}}, {"to": [], "type": "parameter"}]
    Down.log = Down.flush = Down.close = lambda *_: None
    experiment = Experiment("e", backend=target, routing=rules, params={"lr": 1}).start()
    for step in range(100):
        experiment.log_metric("m", step, step)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not experiment.mirrors()["jsonl"].last_error:
        time.sleep(0.01)
    experiment.stop(flush_timeout_s=0.2)
    (synced,) = sync("last", {"jsonl": {"directory": str(tmp_path / "out")}})
    place = synced.place
    assert (synced.done, place.delivered, place.sampled, place.skipped) == (True, 25, 75, 1)
    steps = [line["step"] for line in lines(tmp_path / "out") if line["kind"] == "metric"]
    assert steps == list(range(0, 100, 4))


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(ended, timeout_s):
    with pytest.raises(UsageError, match="no such time"):
        sync("mine", "jsonl", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("run", "backend", "error", "words"),
    [
        ("mine", None, UsageError, "has no mirrors"),
        ("other", "jsonl", UsageError, "no such run"),
        ("mine", "jsonnl", PluginError, "Did you mean"),
    ],
)
def test_what_can_not_be_synced_is_told(ended, run, backend, error, words):
    with pytest.raises(error, match=words):
        sync(run, backend)
