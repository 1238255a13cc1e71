"""The example plugin package, discovered through its entry point, works in a real run."""

import json
import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.acceptance

PLAN = """
plugins:
  phase_hooks:
    - name: example_logging_hook
      config:
        log_file: {directory}/phases.log
        verbose: true

    - name: example_metrics_collector_hook
      config:
        metrics_file: {directory}/metrics.json
        aggregate: true

  post_processors:
    - name: example_metrics_processor
      config:
        output_file: {directory}/metrics.txt
        include_percentiles: true
"""
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "


@pytest.fixture
def environ(root, tmp_path):
    """An environment in which the package is as good as installed."""
    info = tmp_path / "site" / "aiperf_example_plugin-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: aiperf-example-plugin\nVersion: 1.0.0\n")
    setup = (root / "examples/aiperf-example-plugin/setup.py").read_text()
    entry = re.search(r'"steelyard\.plugins": \["(.+)"\]', setup)
    assert entry is not None
    (info / "entry_points.txt").write_text(f"[steelyard.plugins]\n{entry[1]}\n")
    paths = [str(tmp_path / "site"), str(root / "examples/aiperf-example-plugin")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture
def root(request):
    return request.config.rootpath


def steelyard(environ, cwd, *args):
    command = [sys.executable, "-m", "steelyard", *args]
    return subprocess.run(
        command, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=90
    )


def test_its_plugins_are_listed_with_their_origin(environ, tmp_path):
    """Discovery through `aiperf_example_plugin:__version__` and the package's registry.yaml."""
    listed = steelyard(environ, tmp_path, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    document = json.loads(listed.stdout)
    rows = document["plugins"] if isinstance(document, dict) else document
    found = {row["name"]: row for row in rows if "example" in row["name"]}
    assert set(found) == {
        "example_logging_hook", "example_metrics_collector_hook", "example_metrics_processor",
    }  # fmt: skip
    assert "aiperf-example-plugin 1.0.0" in found["example_logging_hook"]["origin"]


def test_a_run_with_its_plugins_leaves_their_files(environ, tmp_path):
    """Log lines, JSON and numbers of a run against the simulated server agree with each other."""
    (tmp_path / "plan.yaml").write_text(PLAN.format(directory=tmp_path))
    done = steelyard(
        environ, tmp_path, "profile", "--config", "plan.yaml", "--streaming", "--concurrency", "2",
        "--request-count", "20", "--warmup-request-count", "4", "--isl", "16", "--osl", "4",
        "--artifact-dir", str(tmp_path / "run"), "--ui", "none", "--fail-on", "",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "phases.log").read_text().splitlines()
    expected = [
        "PHASE_START: WARMUP",
        r"PHASE_SENDING_COMPLETE: WARMUP \| Sent: 4, Sessions: 4, Duration: \d+\.\ds",
        r"PHASE_COMPLETE: WARMUP \| Completed: 4, Cancelled: 0, Total Duration: \d+\.\ds",
        "PHASE_START: PROFILING",
        r"PHASE_SENDING_COMPLETE: PROFILING \| Sent: 20, Sessions: 20, Duration: \d+\.\ds",
        r"PHASE_COMPLETE: PROFILING \| Completed: 20, Cancelled: 0, Total Duration: \d+\.\ds",
    ]
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(STAMP + pattern, line), line
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["aggregated"]["requests"]["PROFILING"]["completed"] == 20
    assert metrics["aggregated"]["phase_durations"]["PROFILING"] > 0
    numbers = dict(line.split(": ") for line in (tmp_path / "metrics.txt").read_text().splitlines())
    assert int(numbers["successful_requests"]) == int(numbers["total_requests"])
    assert float(numbers["latency_ms.p99"]) >= float(numbers["latency_ms.p50"]) > 0


def test_a_misspelt_option_is_refused_before_the_run(environ, tmp_path):
    """The declared schema turns a typo into exit code 2 and a suggestion."""
    text = PLAN.format(directory=tmp_path).replace("verbose:", "verbos:")
    (tmp_path / "plan.yaml").write_text(text)
    done = steelyard(environ, tmp_path, "profile", "--config", "plan.yaml", "--ui", "none")
    assert done.returncode == 2
    assert "verbose" in done.stderr
    assert not (tmp_path / "phases.log").exists()
