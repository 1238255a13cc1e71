"""The tracking process, without the process: messages in, a run in the store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.app.bench_tracking.messages import (
    Done,
    Ended,
    Heard,
    Live,
    Opened,
    Opening,
    Refused,
    ToController,
)
from steelyard.app.bench_tracking.recorder import LIVE_SOURCE, follow, verdict_tags
from steelyard.runtime.pipe_frames import Frames, frame_of
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.reader import facts_of, read_run

SUMMARY = {
    "metrics": {"request_latency": {"unit": "ms", "avg": 2.0, "p99": 3.0, "header": "Latency"}},
    "verdict": {
        "status": "SUSPECT",
        "causes": [{"code": "client_cpu", "message": "busy: Authorization: Bearer sk-abc"}],
    },
}


@pytest.fixture
def store(tmp_path):
    return Store.of(tmp_path / "store")


def opening(store, **changes):
    fields = {
        "run_id": "run-1", "name": "chat mock", "project": "bench", "tags": {"team": "infra"},
        "params": {"seed": 42}, "directory": str(store.root), "backends": {}, "routing": [],
    }  # fmt: skip
    return Opening(**{**fields, **changes})


def told(*messages):
    """Return what the process answers to these messages, and an end of the pipe behind them."""
    reads, writes = os.pipe()
    for message in messages:
        os.write(writes, frame_of(message))
    os.close(writes)
    answers = []
    try:
        follow(reads, answers.append)
    finally:
        os.close(reads)
    return answers


def live(at_s, **values):
    return Live(at_ns=int(at_s * 1e9), phase="profiling", values=values)


def test_a_benchmark_becomes_a_run(store, tmp_path):
    (tmp_path / "out.csv").write_text("a,b\n")
    answers = told(
        opening(store),
        live(100, request_rate=5.0),
        live(100.5, request_rate=6.0),
        Ended(status="completed", summary=SUMMARY, files={"out.csv": str(tmp_path / "out.csv")}),
    )
    assert answers == [Opened("run-1"), Heard(1), Heard(2), Done(mirrors={})]
    run = read_run(store.place("run-1"))
    assert (run.status, run.name, run.params) == ("finished", "chat mock", {"seed": 42})
    rate = run.metrics["live/profiling/request_rate"]
    assert (rate.count, rate.last, rate.last_step) == (2, 6.0, 1)
    assert run.metrics["live/elapsed_s"].last == 0.5
    assert run.metrics["request_latency.p99"].last == 3.0
    assert run.metrics["request_latency.p99"].last_step == 2
    assert [kept.name for kept in run.artifacts] == ["out.csv"]
    sources = {getattr(fact, "source", "") for fact, _ in facts_of(store.place("run-1"))}
    assert LIVE_SOURCE in sources


def test_the_verdict_and_each_cause_are_tags_without_secrets():
    tags = verdict_tags(SUMMARY)
    assert tags["verdict"] == "SUSPECT"
    assert tags["verdict.client_cpu"].startswith("busy")
    assert "sk-abc" not in tags["verdict.client_cpu"]
    assert verdict_tags({}) == {}


def told_elsewhere(*messages):
    """As `told`, in a process that is gone afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", "from steelyard.app.bench_tracking.recorder import serve; serve()"],
        input=b"".join(map(frame_of, messages)), capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return list(Frames(ToController).feed(done.stdout))


def test_a_controller_that_vanishes_leaves_a_killed_run(store):
    assert told_elsewhere(opening(store), live(1, sent=1.0)) == [Opened("run-1"), Heard(1)]
    assert read_run(store.place("run-1")).status == "killed"


def test_another_process_goes_on_where_the_first_one_died(store):
    told_elsewhere(opening(store), live(1, sent=1.0), live(2, sent=2.0))
    answers = told(opening(store), Ended(status="cancelled", summary=SUMMARY))
    assert isinstance(answers[-1], Done)
    run = read_run(store.place("run-1"))
    assert (run.status, run.tags["ended"]) == ("failed", "cancelled")
    assert run.metrics["request_latency.avg"].last_step == 2


def test_a_run_that_cannot_be_begun_is_refused(store, tmp_path):
    (tmp_path / "store").write_text("a file")
    (refused,) = told(opening(store))
    assert isinstance(refused, Refused)
    assert "store" in refused.reason


def test_a_file_that_is_gone_is_a_problem_and_the_rest_is_kept(store, tmp_path):
    there = tmp_path / "there"
    there.write_text("x")
    files = {"gone": str(tmp_path / "gone"), "there": str(there)}
    done = told(opening(store), Ended(status="failed", error="boom", files=files))[-1]
    assert len(done.problems) == 1
    assert "gone" in done.problems[0]
    run = read_run(store.place("run-1"))
    assert [Path(kept.name).name for kept in run.artifacts] == ["there"]
    assert run.failure.message.startswith("boom")
