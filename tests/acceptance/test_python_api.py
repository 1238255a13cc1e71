"""A run from a user's own script."""

import subprocess
import sys

import pytest
from acceptance_runs import mock_server

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

SCRIPT = """
import sys
from steelyard.bench import DatasetPlan, EndpointPlan, PhasePlan, Plan, profile, report

plan = Plan(
    run_id="script",
    models=("mock",),
    endpoint=EndpointPlan(urls=(sys.argv[1],), streaming=True),
    phases=(PhasePlan(name="profiling", concurrency=2, request_count=20),),
    dataset=DatasetPlan(isl_mean=16, osl_mean=4),
    artifact_dir=sys.argv[2],
    run_type=sys.argv[3],
    ui="none",
)
outcome = profile(plan)
metrics = outcome.summary.metrics
print(metrics["request_count"].avg, metrics["time_to_first_token"].count)
print(report(plan.artifact_dir).summary.metrics["request_count"].avg)
"""


@pytest.mark.parametrize("run_type", ["inline", "process"])
def test_a_script_runs_a_plan_and_reads_its_summary(tmp_path, run_type):
    """The documented lines, as a file of the user's."""
    with mock_server("--ttft-ms", "5") as url:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, url, str(tmp_path / "run"), run_type],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.split() == ["20.0", "20", "20.0"], done.stderr
