"""Scripts that track, in processes of their own: ended well, by an exception, and killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

SCRIPT = """
import sys, time
from steelyard.track import start_logging

experiment = start_logging("train", project="p", backend={"jsonl": {"directory": "mirror"}})
for step in range(500):
    experiment.log_metric("loss", 1 / (step + 1), step)
print("logged", flush=True)
sys.stdin.readline()
LAST
"""


@pytest.fixture
def run_script(tmp_path):
    """Start a script whose last line is given; it waits for a line before that."""
    started = []
    environ = {k: v for k, v in os.environ.items() if not k.startswith("STEELYARD_TRACK")}

    def start(last="pass"):
        script = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.replace("LAST", last)],
            cwd=tmp_path, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(script)
        assert script.stdout.readline() == "logged\n"
        return script

    yield start
    for script in started:
        script.kill()
        script.communicate()


def steelyard(directory, *words):
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "track", *words],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mirrored(directory):
    """Return the mirror's lines up to now; one that is being written is none yet."""
    (file,) = (directory / "mirror").glob("*/events.jsonl")
    whole, _, _ = file.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def wait_for_end(directory, status):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        files = list((directory / "mirror").glob("*/events.jsonl"))
        if files and status in {line.get("status") for line in mirrored(directory)[-1:]}:
            return
        time.sleep(0.05)
    pytest.fail(f"the mirror was not told that the run is {status}")


def test_a_script_that_never_says_stop_is_finished_when_it_ends(run_script, tmp_path):
    script = run_script()
    assert steelyard(tmp_path, "show", "last", "--json")["status"] == "running"
    script.communicate("\n", timeout=100)
    run = steelyard(tmp_path, "show", "last", "--json")
    assert (run["status"], run["metrics"]["loss"]["count"]) == ("finished", 500)
    assert (run["mirrors"]["jsonl"]["delivered"], run["mirrors"]["jsonl"]["closed"]) == (500, True)
    steps = [line["step"] for line in mirrored(tmp_path) if line["kind"] == "metric"]
    assert steps == list(range(500))


def test_a_script_that_an_exception_ends_is_failed_with_it(run_script, tmp_path):
    script = run_script("raise ValueError('boom')")
    _, err = script.communicate("\n", timeout=100)
    assert "ValueError: boom" in err
    run = steelyard(tmp_path, "show", "last", "--json")
    assert (run["status"], run["error_type"], run["error_message"]) == (
        "failed", "ValueError", "boom",
    )  # fmt: skip
    assert mirrored(tmp_path)[-1]["failure"]["message"] == "boom"


def test_a_script_that_is_killed_is_killed_everywhere_and_loses_nothing(run_script, tmp_path):
    script = run_script()
    script.send_signal(signal.SIGKILL)
    script.wait()
    run = steelyard(tmp_path, "show", "last", "--json")
    assert (run["status"], run["ended"]) == ("killed", None)
    assert run["metrics"]["loss"]["count"] == 500
    wait_for_end(tmp_path, "killed")
    lines = mirrored(tmp_path)
    assert [line["step"] for line in lines if line["kind"] == "metric"] == list(range(500))


def test_a_mirror_that_is_killed_half_way_is_synced_after(run_script, tmp_path):
    script = run_script()
    pids = subprocess.run(
        ["pgrep", "-P", str(script.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    script.communicate("\n", timeout=100)
    (synced,) = steelyard(tmp_path, "sync", "last", "--backend", "jsonl", "--json",
                          "--option", "directory=mirror")  # fmt: skip
    assert (synced["done"], synced["place"]["delivered"]) == (True, 500)
    assert mirrored(tmp_path)[-1]["status"] == "finished"
