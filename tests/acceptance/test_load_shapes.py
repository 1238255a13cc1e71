"""Load shapes in whole runs: what was asked for is what the server and the rows tell of."""

import csv
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from acceptance_runs import Run, mock_server, run
from engine_rig import most_at_once

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

CHAT = ("--endpoint-type", "chat", "--streaming", "--isl", "20", "--osl", "4")
MS = 1_000_000
STAMP_NS = MS // 5
"""What a kernel stamp, which is wall time turned monotonic, may be off by."""
WORKERS = pytest.mark.parametrize("workers", [1, 2])


@contextmanager
def logged_server(folder: Path, *flags: str) -> Iterator[tuple[str, Path]]:
    """Run the simulated server with a truth log; the log is whole when the server has ended."""
    log = folder / "truth.csv"
    with mock_server("--truth-log", str(log), *flags) as url:
        yield url, log


def truth(log: Path) -> list[dict[str, str]]:
    with log.open(newline="") as file:
        return list(csv.DictReader(file))


def by_index(done: Run) -> list[dict]:
    return sorted(done.rows, key=lambda row: (row["schedule_index"], row["turn"]))


@WORKERS
def test_the_server_never_prefills_more_than_was_asked_for(tmp_path, workers) -> None:
    """Three over all workers, while eight conversations are under way."""
    with logged_server(tmp_path, "--ttft-ms", "100", "--itl-ms", "20") as (url, log):
        flags = ("--concurrency", "8", "--prefill-concurrency", "3", "--request-count", "60")
        done = run(url, tmp_path / "run", *CHAT, *flags, "--workers", str(workers))
    seen = [(int(row["received_ns"]), int(row["first_send_ns"])) for row in truth(log)]
    assert len(seen) == 60
    assert most_at_once(seen) == 3
    assert done.summary["metrics"]["request_count"]["avg"] == 60
    assert {row["worker_id"] for row in done.rows} == set(range(workers))
    under_way = [(row["start_ns"], row["end_ns"]) for row in done.rows]
    assert 3 < most_at_once(under_way) <= 8
    late_ms = sorted((row["start_ns"] - row["intended_ns"]) / MS for row in done.rows)
    # Five of eight wait at any time, each for about 100 ms.
    assert late_ms[len(late_ms) // 2] < 25, "waiting for the limit was booked as our lateness"
    assert not any("prefill" in note for note in done.summary["run"]["notes"])


@pytest.mark.parametrize("load", [("--concurrency", "4"), ("--request-rate", "100")])
def test_a_tight_prefill_limit_leaves_no_worker_waiting_for_ever(tmp_path, load) -> None:
    """One place can't be shared: one of the two workers asked for does it all."""
    with logged_server(tmp_path, "--ttft-ms", "5") as (url, log):
        flags = ("--prefill-concurrency", "1", "--workers", "2")
        done = run(url, tmp_path / "run", *CHAT, *load, *flags, "--request-count", "20")
    assert done.summary["metrics"]["request_count"]["avg"] == 20
    assert most_at_once([(int(r["received_ns"]), int(r["first_send_ns"])) for r in truth(log)]) == 1


def test_a_lost_workers_places_at_the_gate_are_taken_over(tmp_path) -> None:
    """Four of two workers; after a kill the other one uses all four, never more."""
    with logged_server(tmp_path, "--ttft-ms", "40", "--itl-ms", "1") as (url, log):
        flags = ("--concurrency", "8", "--prefill-concurrency", "4", "--workers", "2")
        started = Run(url, tmp_path / "run", *CHAT, *flags, "--benchmark-duration", "90")
        started.wait_until_sending()
        os.kill(started.role_pid("worker"), signal.SIGKILL)
        started.wait_until_lost()
        time.sleep(1)
        taken_over_ns = time.monotonic_ns()
        started.wait_for_more_records()
        assert started.stop() == 130, started.err
    assert "worker_lost" in started.causes()
    # What the killed one had in flight is no longer ours, though the server may not know it yet.
    ours = {row["x_request_id"] for row in started.rows}
    rows = [row for row in truth(log) if row["x_request_id"] in ours]
    spans = [(int(row["received_ns"]), int(row["first_send_ns"])) for row in rows]
    assert most_at_once(spans) == 4
    assert most_at_once([span for span in spans if span[0] > taken_over_ns]) == 4


def test_the_same_requests_are_given_up_whatever_the_workers(tmp_path) -> None:
    """By index; 30 ms after its send or later; neither failures nor successes; the server sees it.

    An answer takes so long that none is there before it is given up.
    """
    cancelled: list[list[int]] = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        folder.mkdir()
        with logged_server(folder, "--ttft-ms", "5000", "--itl-ms", "25") as (url, log):
            flags = ("--request-cancellation-rate", "30", "--request-cancellation-delay", "0.03")
            load = ("--concurrency", "100", "--request-count", "120", "--workers", workers)
            done = run(url, folder / "run", *CHAT, *load, *flags)
        rows = by_index(done)
        given_up = [row for row in rows if row["cancelled"]]
        cancelled.append([row["schedule_index"] for row in given_up])
        metrics = done.summary["metrics"]
        assert metrics["cancelled_request_count"]["avg"] == len(given_up)
        assert metrics["request_count"]["avg"] == 120 - len(given_up)
        assert metrics["error_request_count"]["avg"] == 0
        assert metrics["request_latency"]["count"] == 120 - len(given_up)
        assert not {"high_error_rate", "all_failed", "phase_timeout"} & done.causes().keys()
        after_ms = sorted((row["end_ns"] - row["sent_ns"]) / MS for row in given_up)
        assert after_ms[0] >= 30
        assert after_ms[-1] < 5000
        assert {row["error_kind"] for row in given_up} == {"cancelled"}
        left = [row for row in truth(log) if row["status"] == "499"]
        assert len(left) == len(given_up)
    assert cancelled[0] == cancelled[1]
    assert 20 <= len(cancelled[0]) <= 52


def test_what_was_given_up_before_is_not_what_the_grace_cut_off(tmp_path) -> None:
    """Most requests are given up at once; the four that hang on outlast the grace."""
    with mock_server("--ttft-ms", "60000") as url:
        flags = ("--request-cancellation-rate", "80", "--concurrency", "4")
        ends = ("--benchmark-duration", "5", "--benchmark-grace-period", "0.3")
        done = run(url, tmp_path, *CHAT, *flags, *ends)
    assert {row["error_kind"] for row in done.rows} == {"cancelled"}
    assert len(done.rows) > 4
    assert "with 4 requests in flight" in done.causes()["phase_timeout"]


@WORKERS
def test_slots_open_along_the_ramp_over_all_workers(tmp_path, workers) -> None:
    """Six slots in half a second: one more every 100 ms, whichever worker has it.

    All six are under way before the first of them is answered.
    """
    with logged_server(tmp_path, "--ttft-ms", "5000") as (url, log):
        flags = ("--concurrency", "6", "--concurrency-ramp-duration", "0.5")
        load = ("--request-count", "6", "--workers", str(workers))
        done = run(url, tmp_path / "run", *CHAT, *flags, *load)
    intended = sorted(row["intended_ns"] for row in done.rows)
    assert [(at - intended[0]) // MS for at in intended] == [0, 100, 200, 300, 400, 500]
    assert max(row["start_ns"] for row in done.rows) < min(row["end_ns"] for row in done.rows)
    arrived = {row["x_request_id"]: int(row["received_ns"]) for row in truth(log)}
    for row in done.rows:
        assert row["start_ns"] >= row["intended_ns"]
        assert arrived[row["x_request_id"]] >= row["intended_ns"] - STAMP_NS


@pytest.mark.parametrize(("workers", "requests"), [(1, 64), (2, 64), (2, 16)])
def test_a_burst_is_released_at_one_moment(tmp_path, workers, requests) -> None:
    """All slots of all workers are meant for the same nanosecond; the skew is measured."""
    with mock_server("--ttft-ms", "30") as url:
        flags = ("--arrival-pattern", "concurrency_burst", "--concurrency", "16")
        load = ("--request-count", str(requests), "--workers", str(workers))
        done = run(url, tmp_path, *CHAT, *flags, *load)
    start = min(row["intended_ns"] for row in done.rows)
    first = [row for row in done.rows if row["intended_ns"] == start]
    assert len(first) == 16
    assert {row["worker_id"] for row in first} == set(range(workers))
    sent = [row["start_ns"] for row in first]
    skew = done.summary["metrics"]["burst_skew"]
    assert skew["unit"] == "ms"
    assert skew["avg"] == pytest.approx((max(sent) - min(sent)) / MS, abs=0.001)
    assert skew["avg"] > 0


@WORKERS
def test_sessions_are_counted_and_all_their_turns_sent(tmp_path, workers) -> None:
    """Nine sessions of three conversations: each three times, with every turn of it."""
    file = tmp_path / "in.jsonl"
    sizes = (3, 2, 1)
    lines = [{"session_id": str(n), "turns": [f"turn {t}" for t in range(n)]} for n in sizes]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    with mock_server("--ttft-ms", "2") as url:
        flags = ("--input-file", str(file), "--custom-dataset-type", "multi_turn")
        load = ("--num-sessions", "9", "--concurrency", "3", "--workers", str(workers))
        done = run(url, tmp_path / "run", *CHAT[:3], *flags, *load)
    sent = [(row["schedule_index"], row["turn"]) for row in by_index(done)]
    assert sent == [(index, turn) for index in range(9) for turn in range(sizes[index % 3])]
    assert done.summary["phases"][0]["sessions"] == 9
