"""The example of coordinator plugins, as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin_example.py"


def test_the_example_runs_and_prints_its_summary(tmp_path):
    """Five tests were run, one of them out of memory; the worker was lost and that was noticed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--directory", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = [line.split(" - INFO - ", 1)[1] for line in done.stdout.splitlines()]
    told = [line.removeprefix("NOTIFICATION: ") for line in lines if "NOTIFICATION: " in line]
    capabilities = (
        "{'hardware_type': 'gpu', 'cpu_cores': 8.0, 'memory_gb': 16.0, 'gpu_memory_gb': 8.0,"
        " 'supports_cuda': True, 'supports_webgpu': True, 'supports_webnn': True}"
    )
    assert told[0] == f"Worker worker-001 registered with capabilities: {capabilities}"
    assert told[1] == "Task task-1 created with type: model_test"
    assert "Model test failed due to out of memory error: 4.8 GB" in told[2]
    assert told[3:-1] == [
        text
        for n in range(2, 6)
        for text in (
            f"Task task-{n} created with type: model_test",
            f"Task task-{n} completed successfully",
        )
    ]
    checksums = [re.search(r"'checksum': ([\d.]+)", line) for line in lines]
    assert [float(found[1]) for found in checksums if found] == [8192, 32768, 65536, 131072]
    begin = lines.index("Notification Summary:")
    assert lines[begin:] == [
        "Notification Summary:",
        "Total notifications: 12",
        "  info: 10",
        "  error: 1",
        "  warning: 1",
        "Last 3 notifications:",
        "  [info] Task task-5 created with type: model_test",
        "  [info] Task task-5 completed successfully",
        "  [warning] Worker worker-001 disconnected",
        "Shutting down coordinator...",
        "Demo completed successfully",
    ]
    assert (tmp_path / "benchmark_db.ledger.sqlite").exists()
