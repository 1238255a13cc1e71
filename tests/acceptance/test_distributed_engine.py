"""Workers that an engine of the fleet places, here on two workers of this machine, without Ray."""

import os
import signal

import psutil
import pytest
import yaml
from acceptance_runs import Run, mock_server, run
from schedule_hash import KeepingServer, intended_offsets_ns, schedule_hash

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
WORKERS = 4
RATED = ("--request-rate", "80", "--arrival-pattern", "poisson", "--random-seed", "7",
         "--exporters", "json,jsonl")  # fmt: skip


@pytest.fixture
def placed(tmp_path):
    """Return the flags of a run whose workers two workers of the local engine carry out."""
    config = tmp_path / "local.yaml"
    options = {"workers": 2, "slots": 2, "detect": False}
    config.write_text(yaml.safe_dump({"engine": {"name": "local", "options": options}}))
    return ("--config", str(config), "--run-type", "ray", "--workers", str(WORKERS))


def test_placed_workers_send_what_one_would(tmp_path, placed):
    """Byte for byte, meant for the same times."""
    hashes = []
    with KeepingServer(1) as server:
        for name, flags in (("1", ("--run-type", "process")), ("4", placed)):
            done = run(server.urls[0], tmp_path / name, *RATED, "--num-sessions", "80", *flags)
            assert not [row for row in done.rows if row["status"] != 200], done.err
            hashes.append(schedule_hash(server.taken(), intended_offsets_ns(done)))
    assert hashes[0] == hashes[1]
    assert {row["worker_id"] for row in done.rows} == set(range(WORKERS))
    assert {host["host"].split()[0] for host in done.summary["hosts"]} == {"local-0", "local-1"}


def test_a_machine_that_dies_is_named_with_its_workers_and_the_load_goes_on(tmp_path, placed):
    with mock_server("--ttft-ms", "10") as url:
        running = Run(url, tmp_path / "run", *RATED, "--benchmark-duration", "15", *placed)
        running.wait_until_sending()
        engine = {
            each.pid: each for each in psutil.Process(running.process.pid).children(recursive=True)
            if "steelyard.runtime.fleet.local_worker" in " ".join(each.cmdline())
            and each.ppid() == running.process.pid
        }  # fmt: skip
        assert len(engine) == 2
        os.kill(min(engine), signal.SIGKILL)
        assert running.wait() == 1
    causes = running.summary["verdict"]["causes"]
    lost = [cause["message"] for cause in causes if cause["code"] == "worker_lost"]
    hosts = {text.split(" on ")[1].split()[0] for text in lost}
    assert len(lost) == 2
    assert len(hosts) == 1
    assert hosts < {"local-0", "local-1"}
    end_ns = max(row["start_ns"] for row in running.rows)
    late = {row["worker_id"] for row in running.rows if row["start_ns"] > end_ns - 1e9}
    assert len(late) == 2
