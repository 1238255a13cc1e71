"""A run against a real llama.cpp server: the client's counts are the server's own."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow]

REQUESTS = 6


def profile(server, folder, *flags):
    """Run `steelyard profile` in a process of its own; return its summary and rows."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "steelyard", "profile", "-m", "gemma", "-u", server.url),
            *("--concurrency", "2", "--request-count", str(REQUESTS), "--isl", "24", "--osl", "12"),
            *("--workers", "1", "--artifact-dir", str(folder), "--ui", "none"),
            *flags,
        ],
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # 0 when the run is to be believed, 1 when its verdict says otherwise (six requests are few).
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    summary = json.loads((folder / "profile_export.json").read_text())
    lines = (folder / "profile_export.jsonl").read_text().splitlines()
    return summary, [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("endpoint", "flags"),
    [("chat", ["--streaming"]), ("chat", []), ("completions", ["--streaming"])],
)
def test_token_counts_equal_the_servers_own(llama_server, tmp_path, endpoint, flags):
    before = llama_server.counter("tokens_predicted_total")
    summary, rows = profile(llama_server, tmp_path / "run", "--endpoint-type", endpoint, *flags)
    predicted = llama_server.counter("tokens_predicted_total") - before

    assert len(rows) == REQUESTS
    assert [row["status"] for row in rows] == [200] * REQUESTS
    assert sum(row["output_tokens"] for row in rows) == predicted
    assert {row["token_provenance"] for row in rows} == {"server_usage"}
    assert summary["metrics"]["request_count"]["avg"] == REQUESTS
    assert summary["metrics"]["request_latency"]["min"] > 0
