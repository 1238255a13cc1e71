"""A server that resets connections in mid-answer costs those requests, never the run."""

import pytest
from acceptance_runs import mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]


@pytest.mark.parametrize("run_type", ["inline", "process"])
def test_every_reset_is_noticed_though_data_came_with_it(tmp_path, run_type):
    """The reset arrives together with the last data: it is a failure now, not a timeout later."""
    with mock_server("--ttft-ms", "5", "--itl-ms", "1", "--faults", "reset=1") as url:
        flags = ("--isl", "20", "--osl", "8", "--concurrency", "4", "--request-count", "60")
        limits = ("--request-timeout-seconds", "20", "--run-type", run_type)
        done = run(url, tmp_path, "--streaming", *flags, *limits)
    assert [(e["kind"], e["count"]) for e in done.summary["errors"]] == [("reset", 60)]
    assert done.summary["metrics"]["benchmark_duration"]["avg"] < 10
