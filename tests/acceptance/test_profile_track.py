"""`steelyard profile --track`: live figures, results and files reach trackers, whoever dies."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from acceptance_runs import ROLES, mock_server
from acceptance_runs import Run as AnyRun

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

SECRETS = {"key": "sk-0123456789abcdefKEY", "header": "header-secret-987", "option": "opt-secret-5"}


class Run(AnyRun):
    """A run whose exit code does not tell how busy the machine was."""

    def __init__(self, url, folder, *flags):
        super().__init__(url, folder, "--fail-on", "", *flags)


@pytest.fixture(scope="module")
def url():
    with mock_server("--ttft-ms", "5") as found:
        yield found


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELYARD_TRACK_DIR", str(tmp_path / "store"))
    monkeypatch.delenv("STEELYARD_TRACK_BACKENDS", raising=False)


@pytest.fixture
def config(tmp_path):
    """Write a configuration that mirrors to files; return the flag that reads it."""

    def write(**track):
        track.setdefault("backends", ["jsonl"])
        options = {"jsonl": {"directory": str(tmp_path / "mirror")}}
        track["options"] = {**options, **track.get("options", {})}
        track["options"] = {k: v for k, v in track["options"].items() if k in track["backends"]}
        path = tmp_path / "plan.yaml"
        path.write_text(json.dumps({"track": track}))
        return ("--config", str(path))

    return write


def end_of(lines):
    """Return how a mirror's last line says that the run ended; None where it is another line."""
    return lines[-1]["status"] if lines[-1]["kind"] == "end" else None


def mirrored(tmp_path):
    """Return the mirror's lines up to now; one that is being written is none yet."""
    (file,) = (tmp_path / "mirror").glob("*/events.jsonl")
    whole, _, _ = file.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def mirrored_to_its_end(tmp_path):
    """Return the mirror's lines; on a busy machine its end is told after the benchmark's."""
    wait_until(lambda: end_of(mirrored(tmp_path)), "the mirror is told of the end")
    return mirrored(tmp_path)


def track(tmp_path, *words):
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "track", *words, "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_until(condition, what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def is_mirrored(tmp_path, run_id):
    return track(tmp_path, "show", run_id)["mirrors"]["jsonl"]["closed"]


def tracking_pid(run):
    wait_until(lambda: "tracking" in run.roles(), "a process that tracks")
    return run.roles()["tracking"]


@pytest.mark.parametrize("run_type", ["process", "inline"])
def test_figures_results_and_files_reach_the_tracker(url, tmp_path, config, run_type):
    """Live figures step by step, then summary, verdict, plan and every file, byte for byte."""
    flags = config(project="demo", tags={"team": "infra"})
    run = Run(url, tmp_path / "run", *flags, "--run-type", run_type, "--benchmark-duration", "6",
              "--warmup-request-count", "5", "--concurrency", "2", "--streaming")  # fmt: skip
    assert tracking_pid(run) != run.process.pid
    assert run.wait() == 0, run.err
    lines = mirrored_to_its_end(tmp_path)
    assert (lines[0]["kind"], end_of(lines)) == ("start", "finished")
    values = {}
    for line in lines:
        if line["kind"] == "metric":
            values.setdefault(line["name"], []).append((line["step"], line["value"]))
    assert values["live/warmup/completed"][-1][1] == 5
    rates = values["live/profiling/request_rate"]
    assert len(rates) >= 3
    assert max(rate for _, rate in rates) > 10
    steps = [step for step, _ in values["live/elapsed_s"]]
    assert steps == list(range(len(steps)))
    metrics = run.summary["metrics"]
    assert values["time_to_first_token.p99"][-1][1] == metrics["time_to_first_token"]["p99"]
    found = track(tmp_path, "show", "last")
    assert (found["status"], found["project"]) == ("finished", "demo")
    assert found["tags"]["verdict"] == run.summary["verdict"]["status"]
    assert {c["code"] for c in run.summary["verdict"]["causes"]} == {
        name.partition(".")[2] for name in found["tags"] if name.startswith("verdict.")
    }
    assert found["tags"]["team"] == "infra"
    assert found["params"]["phases.1.concurrency"] == 2
    kept = {line["name"]: line["sha256"] for line in lines if line["kind"] == "artifact"}
    names = ["profile_export.csv", "profile_export.json", "profile_export.jsonl",
             "profile_export.parquet"]  # fmt: skip
    assert sorted(kept) == names
    for name, sha256 in kept.items():
        data = (tmp_path / "run" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256
        assert (next((tmp_path / "mirror").glob("*")) / "artifacts" / name).read_bytes() == data
    assert f"Tracked as {found['run_id']}" in run.err


def test_a_benchmark_that_was_tracked_is_listed_once(url, tmp_path):
    """The store's run has all that the list of benchmarks has, so that one stays away."""
    run = Run(url, tmp_path / "artifacts" / "one", "--track", "local", "--request-count", "5")
    assert run.wait() == 0, run.err
    untracked = Run(url, tmp_path / "artifacts" / "two", "--request-count", "5")
    assert untracked.wait() == 0, untracked.err
    found = track(tmp_path, "runs")
    assert sorted(one["kind"] for one in found) == ["bench", "track"]
    metrics = next(one for one in found if one["kind"] == "track")["metrics"]
    assert metrics["request_count.avg"] == 5


def test_another_store_is_a_tracker_too(url, tmp_path, config):
    other = tmp_path / "other"
    flags = config(
        backends=["copy"], options={"copy": {"plugin": "local", "directory": str(other)}}
    )
    run = Run(url, tmp_path / "run", *flags, "--request-count", "5")
    assert run.wait() == 0, run.err
    os.environ["STEELYARD_TRACK_DIR"] = str(other)
    found = track(tmp_path, "show", "last")
    assert found["status"] == "finished"
    assert len(found["artifacts"]) == 4


SCRIPT = """
import sys
from steelyard.bench import DatasetPlan, EndpointPlan, PhasePlan, Plan, TrackPlan, profile

plan = Plan(
    run_id="script",
    models=("mock",),
    endpoint=EndpointPlan(urls=(sys.argv[1],)),
    phases=(PhasePlan(name="profiling", concurrency=2, request_count=20),),
    dataset=DatasetPlan(isl_mean=16, osl_mean=4),
    artifact_dir=sys.argv[2],
    run_type=sys.argv[3],
    ui="none",
    track=TrackPlan(backends=("jsonl",), name="mine", artifacts=("*.csv",),
                    options={"jsonl": {"directory": "${MIRROR}"}}),
)
for _ in range(2):
    tracked = profile(plan).tracked()
    print(tracked.run_id, *tracked.mirrors, tracked.dropped, tracked.lost)
"""


@pytest.mark.parametrize("run_type", ["process", "inline"])
def test_a_script_tracks_its_runs(url, tmp_path, run_type):
    """A plan that is run again is another run, and a name in braces is filled when it opens."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, str(tmp_path / "run"), run_type],
        capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "MIRROR": str(tmp_path / "mirror")},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["script jsonl 0 0", "script-2 jsonl 0 0"], done.stderr
    for name in ("script", "script-2"):
        wait_until(partial(is_mirrored, tmp_path, name), f"the mirror of {name} is closed")
    found = track(tmp_path, "show", "script-2")
    assert [kept["name"] for kept in found["artifacts"]] == ["profile_export.csv"]
    assert found["name"] == "mine"


def test_without_the_flag_nothing_is_started_and_nothing_written(url, tmp_path):
    run = Run(url, tmp_path / "run", "--benchmark-duration", "3600")
    run.wait_until_sending()
    assert {name.rpartition("_")[0] for name in run.roles()} == set(ROLES)
    assert run.stop() == 130
    assert not (tmp_path / "store").exists()
    assert "Tracked" not in run.err


UNTRACKED = """
import os, sys, time
from steelyard.bench import load_plan, profile

flags = {"model": "mock", "url": sys.argv[1], "artifact_dir": sys.argv[2], "ui": "none",
         "request_count": 5, "run_type": "inline"}
plan = load_plan(config_path=None, flags=flags, environ=os.environ, now_wall_ns=time.time_ns(),
                 entropy=os.urandom(8))
assert profile(plan).tracked() is None
print([name for name in sys.modules if name.startswith(tuple(sys.argv[3:]))])
"""


TRACKER = (
    "steelyard.app.track", "steelyard.app.bench_tracking", "steelyard.app.otel_streaming",
    "steelyard.domain.track", "steelyard.runtime.track", "steelyard.runtime.otel", "opentelemetry",
)  # fmt: skip


def test_a_run_that_is_not_tracked_loads_nothing_of_the_tracker(url, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", UNTRACKED, url, str(tmp_path / "run"), *TRACKER],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_an_unknown_tracker_is_told_before_the_load_starts(tmp_path):
    run = Run("http://127.0.0.1:1", tmp_path / "run", "--track", "jsonl,mlfow")
    assert run.wait() == 2
    assert "mlfow" in run.err
    assert "steelyard plugins --kind backend" in run.err
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_is_one_line_with_what_installs_it(url, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(
        "plugin: {name: lacking, version: 1.0.0, description: d, enabled: true}\n"
        "backend:\n  lacking:\n    class: lacking_backend:Lacking\n    description: d\n"
        "    requires: ['no-such-package-here>=1']\n"
    )
    flags = ("--plugin-dir", str(plugins), "--track", "lacking", "--request-count", "5")
    run = Run(url, tmp_path / "run", *flags)
    assert run.wait() == 3
    (line,) = run.err.strip().splitlines()
    assert "pip install" in line
    assert "no-such-package-here" in line
    assert not (tmp_path / "run" / "journal").exists()


KEYED = """
from steelyard.builtin.backend.jsonl import JsonlBackend


class Keyed(JsonlBackend):
    def __init__(self, directory, api_key):
        assert api_key.startswith("opt-secret"), "the reference was filled"
        super().__init__(directory)
"""


def test_no_secret_reaches_a_tracker(tmp_path, config, monkeypatch):
    """Neither keys, nor headers, nor options: not in the store, not in the mirror, not in logs."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(
        "plugin: {name: keyed, version: 1.0.0, description: d, enabled: true}\n"
        "backend:\n  keyed:\n    class: keyed_backend:Keyed\n    description: d\n"
        "    config_schema: {directory: {type: string}, api_key: {type: string}}\n"
    )
    (plugins / "keyed_backend.py").write_text(KEYED)
    monkeypatch.setenv("OPTION", SECRETS["option"])
    keyed = {"directory": str(tmp_path / "mirror"), "api_key": "${OPTION}"}
    flags = config(backends=["keyed"], options={"keyed": keyed})
    with mock_server() as address:
        run = Run(
            address, tmp_path / "run", *flags, "--request-count", "5", "--plugin-dir", str(plugins),
            "--api-key", SECRETS["key"], "--header", f"X-Api-Key: {SECRETS['header']}",
            "--endpoint", f"/v1/chat/completions?api_key={SECRETS['option']}",
        )  # fmt: skip
        assert run.wait() in (0, 1), run.err
    assert end_of(mirrored_to_its_end(tmp_path)) == "finished"
    places = [tmp_path / "store", tmp_path / "mirror", tmp_path / "run" / "logs"]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert len(files) > 5
    for file in files:
        data = file.read_bytes()
        for name, secret in SECRETS.items():
            assert secret.encode() not in data, (name, file)


def test_a_dead_tracker_delays_nobody_and_gets_all_of_it_later(url, tmp_path, config):
    (tmp_path / "mirror").write_text("a file where a directory should be")
    begun = time.monotonic()
    plain = Run(url, tmp_path / "plain", "--request-count", "20")
    assert plain.wait() == 0
    alone_s = time.monotonic() - begun
    begun = time.monotonic()
    run = Run(url, tmp_path / "run", *config(), "--request-count", "20")
    assert run.wait() == 0, run.err
    assert time.monotonic() - begun < 5 * alone_s + 20
    assert "not done" in run.err
    assert "steelyard track sync" in run.err
    (tmp_path / "mirror").unlink()

    def synced():
        done = subprocess.run(
            [sys.executable, "-m", "steelyard", "track", "sync", "last"],
            cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        return done.returncode == 0

    wait_until(synced, "the mirror is free and delivers", 60)
    assert end_of(mirrored_to_its_end(tmp_path)) == "finished"


def test_ctrl_c_ends_the_run_with_its_results(url, tmp_path, config):
    run = Run(url, tmp_path / "run", *config(), "--benchmark-duration", "60")
    run.wait_until_sending()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130
    found = track(tmp_path, "show", "last")
    assert (found["status"], found["tags"]["ended"]) == ("failed", "cancelled")
    assert found["metrics"]["request_count.avg"]["last"] > 0
    assert end_of(mirrored_to_its_end(tmp_path)) == "failed"


def test_a_killed_tracking_process_costs_live_figures_and_no_result(url, tmp_path, config):
    run = Run(url, tmp_path / "run", *config(), "--benchmark-duration", "9")
    run.wait_until_sending()
    os.kill(tracking_pid(run), signal.SIGKILL)
    assert run.wait() == 0, run.err
    assert "were lost in a dead process" in run.err
    found = track(tmp_path, "show", "last")
    assert found["status"] == "finished"
    assert found["tags"]["verdict"]
    assert "profile_export.json" in {kept["name"] for kept in found["artifacts"]}


def test_a_killed_controller_leaves_a_killed_run(url, tmp_path, config):
    run = Run(url, tmp_path / "run", *config(), "--benchmark-duration", "60")
    run.wait_until_sending()
    wait_until(lambda: list((tmp_path / "mirror").glob("*/events.jsonl")), "the mirror begins")
    run.process.kill()
    run.wait()
    assert end_of(mirrored_to_its_end(tmp_path)) == "killed"
    assert track(tmp_path, "show", "last")["status"] == "killed"


def test_a_full_queue_loses_its_oldest_figures_and_says_how_many(url, tmp_path, monkeypatch):
    """A process that stands still for a while: what it never saw is counted to the figure."""
    monkeypatch.setenv("STEELYARD_OTEL_MAX_BUFFERED_RECORDS", "2")
    run = Run(url, tmp_path / "run", "--track", "local", "--benchmark-duration", "18")
    run.wait_until_sending()
    pid = tracking_pid(run)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(10)
    os.kill(pid, signal.SIGCONT)
    assert run.wait() == 0, run.err
    found = track(tmp_path, "show", "last")
    dropped = int(found["tags"]["tracking.dropped"])
    assert dropped >= 1
    heard = found["metrics"]["live/elapsed_s"]["count"]
    assert f"Of {heard + dropped} live figures {dropped} were lost in a full queue" in run.err
    log = (tmp_path / "run" / "logs" / "steelyard.log").read_text()
    assert "the oldest event is dropped (dropped=1)" in log
    assert "(dropped=2)" not in log
