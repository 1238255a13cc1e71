"""A disk that fills up during a run: said in a line, and what was written before is kept."""

import json
import shutil

import pytest
from acceptance_runs import Run, mock_server, report
from small_disk import small_disk

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow]

LOAD = ("--streaming", "--isl", "20", "--osl", "8", "--concurrency", "8")


def test_a_full_disk_is_named_and_the_journalled_part_can_be_reported(tmp_path):
    """400 kB for a minute of load: exit 2, no traceback, no scratch left; a report can follow."""
    with small_disk(tmp_path / "disk", 400) as disk, mock_server("--ttft-ms", "5") as url:
        folder = disk / "run"
        run = Run(url, folder, *LOAD, "--benchmark-duration", "60")
        assert run.wait() == 2, run.err
        lost = next(line for line in run.err.splitlines() if line.startswith("error: not written"))
        assert f": Can't write {folder}" in lost
        assert "no space left on device" in lost
        assert "Traceback" not in run.err
        assert len(run.err.splitlines()) <= 6, run.err
        assert "Verdict: INVALID" in run.out
        assert not list(folder.glob(".results-*"))
        later = report(folder)
        assert later.returncode == 2, (later.stdout, later.stderr)
        assert "Successful requests" in later.stdout
        moved = tmp_path / "moved"
        shutil.copytree(folder, moved)
    assert report(moved).stderr == ""
    metrics = json.loads((moved / "profile_export.json").read_text())["metrics"]
    assert metrics["request_count"]["avg"] > 100
