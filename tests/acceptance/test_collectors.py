"""Scripts with collectors end as they would without them: real processes, looked at by the CLI."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

BEGIN = """
import time
from steelyard.track import start_logging

experiment = start_logging("collected", collectors=True, directory="store")
print("started", flush=True)
"""
UNTIL_COLLECTED = """
needed = {"system/cpu_percent", "process/rss_bytes", "environment.python"}
while not needed <= {*(run := experiment.snapshot()).metrics, *run.params}:
    time.sleep(0.1)
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that starts a script below `tmp_path` and waits until its run has begun."""
    started = []

    def start(rest, **variables):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("STEELYARD_TRACK")}
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + rest],
            cwd=tmp_path, env={**environ, **variables}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "started\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def shown(tmp_path):
    """Return the run as `steelyard track show` tells it."""
    environ = {**os.environ, "STEELYARD_TRACK_DIR": str(tmp_path / "store")}
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "track", "show", "last", "--json"],
        env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_script_that_never_stops_its_run_has_all_of_it(script, tmp_path):
    """It is finished when the script ends; nothing is said on its terminal."""
    process = script(UNTIL_COLLECTED)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out, err) == (0, "", "")
    run = shown(tmp_path)
    assert run["status"] == "finished"
    assert {"system/cpu_percent", "process/rss_bytes"} <= set(run["metrics"])
    assert "environment.python" in run["params"]


def test_a_script_that_fails_fails_as_ever(script, tmp_path):
    process = script("time.sleep(0.3)\nraise ValueError('boom')\n")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert err.rstrip().endswith("ValueError: boom")
    assert shown(tmp_path)["status"] == "failed"


def test_a_script_that_is_killed_keeps_what_was_collected(script, tmp_path):
    process = script(UNTIL_COLLECTED + 'print("collected", flush=True)\ntime.sleep(3600)\n')
    assert process.stdout.readline() == "collected\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=100)
    run = shown(tmp_path)
    assert run["status"] == "killed"
    assert run["metrics"]["system/cpu_percent"]["count"] >= 1
    assert run["params"]["environment.cpus"] >= 1


def test_a_script_that_forks_workers_ends_with_them(script, tmp_path):
    """Workers of a pool log, and the parent's collectors see what they use."""
    rest = """
import multiprocessing

def work(number):
    end = time.process_time() + 0.4
    while time.process_time() < end:
        pass
    experiment.log_metric(f"worker/{number}", number)

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(4))
    while (seen := experiment.snapshot().metrics.get("process/cpu_s")) is None or seen.last < 1.4:
        time.sleep(0.1)
"""
    process = script(rest)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    run = shown(tmp_path)
    assert run["status"] == "finished"
    assert {f"worker/{n}" for n in range(4)} <= set(run["metrics"])
    assert run["metrics"]["process/cpu_s"]["last"] >= 1.4
