"""What `make demo` promises: a table, a verdict line, a report path, and nothing left running."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo, with fewer requests, once."""
    folder = tmp_path_factory.mktemp("demo")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [str(ROOT / "tools" / "demo.sh"), str(folder / "run")],
        env={**os.environ, "PATH": path, "STEELYARD_DEMO_REQUESTS": "120", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # whatever it starts can be told from other processes
    )
    told, _ = process.communicate(timeout=100)
    return folder / "run", process, told


def test_the_demo_prints_a_table_a_verdict_and_where_the_report_is(demo):
    folder, process, told = demo
    # A machine that is too busy makes the verdict INVALID, and the code says so.
    assert process.returncode == int("Verdict: INVALID" in told), told
    assert "Time to first token (ms)" in told
    assert "Verdict: " in told
    assert f"Report: {folder / 'profile_export.json'}" in told


def test_the_demo_measures_what_the_simulated_server_was_told_to_do(demo):
    metrics = json.loads((demo[0] / "profile_export.json").read_text())["metrics"]
    assert metrics["request_count"]["avg"] == 120
    # 40 ms to the first token, then 31 gaps of 5 ms. A server never answers early; a busy machine
    # may make it late, by several times that.
    assert 39.5 < metrics["time_to_first_token"]["p50"] < 400
    assert 4.5 < metrics["inter_token_latency"]["p50"] < 50
    assert metrics["request_latency"]["min"] > 39.5 + 31 * 4.5


def test_the_demo_leaves_no_process_behind(demo):
    session = demo[1].pid
    listed = subprocess.run(["ps", "-eo", "sid=,args="], capture_output=True, text=True, check=True)
    sessions = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert sessions.get(str(session)) is None
