"""A slow and a dead backend hold up neither the script nor a fast one, and catch up by `sync`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

POINTS = 50_000
BUSY_MACHINE = 25
"""The bound is this much wider than what is asked for: tests share their cores with others."""

MIRRORS = Path(__file__).parents[1] / "support" / "mirrors"

# Pieces of a run with mirrors and of one without in turns, so that a busy machine slows both; CPU
# time, so that it slows neither.
SCRIPT = """
import json, statistics, sys, time
import psutil
from steelyard.track import Experiment

PIECES, POINTS = 50, int(sys.argv[1])
alone = Experiment("alone", backend="local").start()
mirrored = Experiment("mirrored", backend=["fast", "slow", "dead"]).start()
used = {alone: [], mirrored: []}
for piece in range(PIECES):
    for experiment in (alone, mirrored) if piece % 2 else (mirrored, alone):
        begun = time.process_time()
        for step in range(piece * POINTS // PIECES, (piece + 1) * POINTS // PIECES):
            sum(range(2_000))
            experiment.log_metric("loss", 0.5, step)
        used[experiment].append(time.process_time() - begun)
begun = time.monotonic()
while mirrored.mirrors()["fast"].delivered < POINTS and time.monotonic() - begun < 90:
    time.sleep(0.01)
alone.stop()
mirrored.stop(flush_timeout_s=1)
more = statistics.median(m / a for m, a in zip(used[mirrored], used[alone])) - 1
places = {label: place.delivered for label, place in mirrored.mirrors().items()}
beside = [child.pid for child in psutil.Process().children(recursive=True)]
print(json.dumps({"more": more, "places": places, "beside": beside,
                  "run": str(mirrored.directory)}))
"""


@pytest.fixture
def environ(tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STEELYARD_TRACK")}
    return kept | {"STEELYARD_PLUGIN_DIRS": str(MIRRORS), "MIRRORS_DIRECTORY": str(tmp_path)}


def end(pids):
    """End processes that outlive their script, and wait until they are gone."""
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def test_a_slow_and_a_dead_backend_delay_nobody_and_catch_up(tmp_path, environ):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(POINTS)], cwd=tmp_path, env=environ, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["more"] < 0.01 * BUSY_MACHINE
    assert found["places"]["fast"] == POINTS
    assert found["places"]["slow"] < POINTS
    assert found["places"]["dead"] == 0

    end(found["beside"])  # the machine goes down, and comes back
    (tmp_path / "recovered").touch()
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "track", "sync", found["run"], "--json"],
        cwd=tmp_path, env=environ, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    counts = {one["label"]: one["place"] for one in json.loads(done.stdout)}
    for label in ("fast", "slow", "dead"):
        assert (counts[label]["delivered"], counts[label]["dropped"]) == (POINTS, 0)
        (file,) = tmp_path.glob(f"*-{label}")
        steps = file.read_text().split()
        assert steps == [str(step) for step in range(POINTS)]
