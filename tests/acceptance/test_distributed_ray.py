"""`profile --run-type ray` on a head and two more nodes of this machine, and one of them killed.

The hashes and the verdict are printed; `pytest -s` shows them.
"""

import base64
import json
import os
import signal
import sys
from importlib.util import find_spec

import psutil
import pytest
from acceptance_runs import Run, mock_server, run
from ray_rig import RayCluster
from schedule_hash import KeepingServer, intended_offsets_ns, schedule_hash

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(500),
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
    ),
]
WORKERS = 8
SENT = ("-m", "a,b", "--num-sessions", "120", "--request-rate", "60", "--arrival-pattern",
        "poisson", "--url-strategy", "random", "--random-seed", "7",
        "--exporters", "json,jsonl")  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """Room for nine workers on three nodes: eight need all of them."""
    with RayCluster(death_within_s=8.0, slots=3) as cluster:
        cluster.add("127.0.0.3", "127.0.0.4")
        yield cluster


def on_ray(cluster):
    return (
        "--run-type", "ray", "--ray-address", cluster.address, "--workers", str(WORKERS),
        "--engine-option", f"token_path={cluster.token}",
    )  # fmt: skip


def placed_on(done):
    """Return how many workers each node got, as the log says."""
    lines = (done.folder / "logs" / "steelyard.log").read_text().splitlines()
    names = [line.rpartition(" ")[2] for line in lines if "is started on" in line]
    return {name: names.count(name) for name in names}


def sent_by(server, folder, *flags):
    urls = [word for url in server.urls for word in ("--url", url)]
    done = run("", folder, *urls, *SENT, *flags, timeout_s=200)
    assert not [row for row in done.rows if row["status"] != 200], done.err
    requests = server.taken()
    return done, requests, intended_offsets_ns(done)


def test_eight_workers_on_three_nodes_send_what_one_would(cluster, tmp_path, capsys):
    """The same bytes meant for the same times; the machines' clocks and start skew are told."""
    with KeepingServer(2, pause_s=0.002) as server:
        _, *alone = sent_by(server, tmp_path / "1", "--run-type", "process", "--workers", "1")
        done, *spread = sent_by(server, tmp_path / "8", *on_ray(cluster))
    hashes = [schedule_hash(*each) for each in (alone, spread)]
    summary = done.summary
    workers = [worker for host in summary["hosts"] for worker in host["workers"]]
    merged = [line for line in done.out.splitlines() if "merged" in line]
    with capsys.disabled():
        sys.stdout.write(f"\none worker in a process: sha256 {hashes[0]}\n")
        sys.stdout.write(f"eight on three nodes:    sha256 {hashes[1]}\n")
        sys.stdout.write(f"{placed_on(done)}\n{merged}\n{json.dumps(summary['hosts'][0])}\n")
    assert spread == alone
    assert hashes[0] == hashes[1]
    assert sorted(placed_on(done).values()) == [2, 3, 3]
    assert not [path for node in cluster.nodes for path in (cluster.directory / node).rglob("work")]
    assert {row["worker_id"] for row in done.rows} == set(range(WORKERS))
    assert len(workers) == WORKERS
    assert sum(worker["requests"] for worker in workers) == len(done.rows)
    assert all(worker["clock_offset_bound_us"] is not None for worker in workers)
    assert all(worker["start_skew_ms"] is not None for worker in workers)
    assert merged
    assert all("bucket for bucket" in note for note in merged)


def holds_join(data):
    """Tell whether a join is in there, as JSON or as base64 of that, wherever it begins."""
    name = b"client_secret"
    words = [name]
    for before in range(3):
        text = base64.b64encode(b"\0" * before + name)
        words.append(text[(before * 8 + 5) // 6 : (before + len(name)) * 8 // 6])
    return any(word in data for word in words)


def test_a_join_is_recognised():
    for before in range(3):
        assert holds_join(base64.b64encode(b"x" * before + b'{"client_secret": "s"}'))
    assert not holds_join(b"STEELYARD_JOIN is a variable")


def test_a_node_that_is_killed_is_named_with_its_workers(cluster, tmp_path, capsys):
    """The run ends by itself, with a verdict; the workers of other nodes go on to its end.

    Meanwhile no process shows the join in its command line, and afterwards no file has it: neither
    of the run, nor of the nodes, nor of Ray.
    """
    with mock_server("--ttft-ms", "20") as url:
        running = Run(
            url, tmp_path, *on_ray(cluster), "--request-rate", "100", "--benchmark-duration", "20",
            "--exporters", "json,jsonl",
        )  # fmt: skip
        running.wait_until_sending()
        shown = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
        os.kill(cluster.raylet("n4"), signal.SIGKILL)
        code = running.wait(150)
    causes = running.summary["verdict"]["causes"]
    with capsys.disabled():
        sys.stdout.write(f"\nexit code {code}\n{json.dumps(causes, indent=1)}\n")
    lost = [cause["message"] for cause in causes if cause["code"] == "worker_lost"]
    told = {
        worker["service_id"]
        for host in running.summary["hosts"]
        for worker in host["workers"]
        if host["host"].startswith("n4 ")
    }
    assert len(told) == placed_on(running)["n4"] == len(lost)
    assert all(any(name in text and " on n4 " in text for text in lost) for name in told)
    end_ns = max(row["start_ns"] for row in running.rows)
    late = {row["worker_id"] for row in running.rows if row["start_ns"] > end_ns - 1e9}
    assert len(late) == WORKERS - len(lost)
    assert code == 1
    assert not [line for line in shown if holds_join(line.encode())]
    kept = [path for place in (tmp_path, cluster.directory) for path in place.rglob("*")]
    files = [path for path in kept if path.is_file() and not path.is_symlink()]
    assert any("raylet" in path.name for path in files)  # Ray's own logs are among them
    assert not [path for path in files if holds_join(path.read_bytes())]
