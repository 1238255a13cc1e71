"""A host is calibrated, and its next run has error bars from it."""

import json
import os
import subprocess

import pytest
from acceptance_runs import STEELYARD

from steelyard.domain.bench.calibration import MEASURES

pytestmark = [pytest.mark.acceptance, pytest.mark.network]


def steelyard(state, *words):
    return subprocess.run(
        [*STEELYARD, *words],
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def profile(state, folder, concurrency=8):
    words = ("--streaming", "--concurrency", str(concurrency), "--request-count", "400", "--osl",
             "8", "--ui", "none", "--fail-on", "", "--artifact-dir", str(folder))  # fmt: skip
    return steelyard(state, "profile", *words)


def test_a_calibrated_host_gives_its_runs_error_bars(tmp_path):
    state = tmp_path / "state"
    before = profile(state, tmp_path / "before")
    assert "Not calibrated" in before.stdout, before.stderr

    done = steelyard(state, "calibrate", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    calibration = json.loads(done.stdout)
    assert [level["failed"] for level in calibration["levels"]] == [0] * 4
    for level in calibration["levels"]:
        assert set(level["errors"]) <= set(MEASURES)
        assert all(0 <= e["p50"] <= e["p99"] <= e["max"] for e in level["errors"].values())
    assert calibration["ceilings"]["connections"] == 256
    assert calibration["ceilings"]["events_per_s"] > calibration["ceilings"]["requests_per_s"] > 0
    paced = next(level for level in calibration["levels"] if "itl" in level["errors"])
    # An answer takes 720 ms; a busy machine is late by some of its steps of 20 ms.
    assert paced["errors"]["ttft"]["p50"] < 100, "an instrument this far off measures itself"

    after = profile(state, tmp_path / "after")
    assert "calibrated 20" in after.stdout, after.stderr
    assert "beyond the calibrated" not in after.stdout
    report = json.loads((tmp_path / "after" / "profile_export.json").read_text())
    first_token = report["metrics"]["time_to_first_token"]
    assert first_token["error_bar_source"] == "calibration"
    known = [x["errors"]["ttft"]["p99"] for x in calibration["levels"] if "ttft" in x["errors"]]
    assert first_token["error_bar"] >= min(known)
    assert report["run"]["calibration"] == {"made_wall_ns": calibration["made_wall_ns"]}

    beyond = profile(state, tmp_path / "beyond", concurrency=400)
    words = "(400 requests in flight) is beyond the calibrated (256)"
    assert words in " ".join(beyond.stdout.split()), beyond.stderr

    again = steelyard(tmp_path / "elsewhere", "report", str(tmp_path / "after"), "--json")
    bars = json.loads(again.stdout)["metrics"]["time_to_first_token"]["error_bar"]
    assert bars == first_token["error_bar"], "a report made elsewhere has the run's own bars"


def test_a_calibration_of_another_version_is_named_and_gives_no_bars(tmp_path):
    steelyard(tmp_path, "calibrate", "--quick")
    (kept,) = tmp_path.glob("steelyard/calibration/*.json")
    calibration = json.loads(kept.read_text())
    calibration["facts"]["kernel"] = "Linux 2.6"
    kept.rename(kept.with_name("0123456789ab.json")).write_text(json.dumps(calibration))
    done = profile(tmp_path, tmp_path / "run")
    assert "is of another instrument: kernel Linux 2.6, now" in " ".join(done.stdout.split())
    assert "Not calibrated" in done.stdout


def test_a_damaged_calibration_harms_no_run_and_is_named(tmp_path):
    steelyard(tmp_path, "calibrate", "--quick")
    (kept,) = tmp_path.glob("steelyard/calibration/*.json")
    kept.write_text("{")
    done = profile(tmp_path, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "is no calibration" in done.stdout
    assert "Not calibrated" in done.stdout
