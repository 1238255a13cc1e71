"""What is told of the machines of a run."""

import numpy as np
import pytest

from steelyard.domain.bench.calibration import Calibration, Ceilings
from steelyard.domain.bench.clock_offset import ClockFacts
from steelyard.domain.bench.hosts import (
    Compared,
    WorkerShares,
    add_latencies,
    host_notes,
    host_rows,
    leave_out_calibration,
    with_clock_bound,
)
from steelyard.domain.bench.records import empty_batch
from steelyard.domain.bench.sketch import Sketch
from steelyard.domain.bench.story import Story, WorkerLoad
from steelyard.domain.bench.summary import MetricSummary

MS = 10**6


def rows(worker: int, lateness_ms: float, count: int = 5, phase: int = 0) -> np.ndarray:
    made = empty_batch(count)
    made["worker_id"], made["phase"] = worker, phase
    made["intended_ns"] = 1000 * MS + np.arange(count) * 10 * MS
    made["start_ns"] = made["intended_ns"] + round(lateness_ms * MS) * (np.arange(count) == 0)
    made["end_ns"] = made["start_ns"] + (1 + np.arange(count)) * MS
    return made


def joined(number: int, host: str) -> dict[str, object]:
    return {"worker": number, "service_id": f"worker_{number}", "name": host, "host_id": host}


def clock(bound_us: float, *, same: bool = False, jumps: int = 0) -> WorkerLoad:
    told = ClockFacts(offset_ns=0 if same else -9, bound_ns=round(1000 * bound_us),
                      exchanges=30, same_clock=same, jumps=jumps)  # fmt: skip
    return WorkerLoad(clock=told, clock_bound_ns=told.bound_ns)


@pytest.fixture
def story() -> Story:
    told = Story()
    told.joined = {n: joined(n, host) for n, host in enumerate(("a", "b", "b"))}
    told.workers = {0: clock(0, same=True), 1: clock(120.0), 2: clock(80.0)}
    told.lost = [("worker_2", "worker")]
    return told


@pytest.fixture
def shares() -> WorkerShares:
    made = WorkerShares()
    for batch in (rows(1, 2.5), rows(0, 0.5), rows(1, 9.0, phase=1), rows(2, 0.25)):
        made.fold(batch, np.ones(batch.size, bool))
    return made


def test_each_machine_says_the_worst_of_its_workers(story: Story, shares: WorkerShares) -> None:
    """Requests add up; bound and skew are those of the worker that is worst known and latest."""
    first, second = host_rows(story, shares)
    assert (first.host, first.requests, first.clock_offset_bound_us) == ("a", 5, 0)
    assert (second.host, second.requests, second.clock_offset_bound_us) == ("b", 15, 120)
    assert (first.start_skew_ms, second.start_skew_ms) == (0.5, 9.0)
    assert [worker.clock for worker in second.workers] == ["measured", "measured"]
    assert first.workers[0].clock == "same"
    assert [worker.lost for worker in second.workers] == [False, True]


def test_a_worker_that_sent_nothing_has_a_line_too(story: Story) -> None:
    """Nothing is skipped in silence: without records there is no skew to tell."""
    first, second = host_rows(story, WorkerShares())
    assert (first.requests, first.start_skew_ms) == (0, None)
    assert len(second.workers) == 2


def test_what_workers_counted_themselves_is_held_to_what_arrived() -> None:
    """Bucket for bucket, in any order and split, warm-up included; what is lost on the way shows.

    Adding 40 batches of 50 to one sketch, or each worker's to its own and merging these, is one.
    """
    random = np.random.default_rng(7)
    arrived, whole = WorkerShares(), Sketch()
    told = {worker: (500, Sketch()) for worker in range(4)}
    batches = [rows(number % 4, 0.0, count=50, phase=number % 2) for number in range(40)]
    for batch in batches:
        batch["end_ns"] = batch["start_ns"] + random.integers(1, 10**10, 50)
        for sketch in (whole, told[int(batch["worker_id"][0])][1]):
            add_latencies(sketch, batch)
    for number in random.permutation(40):
        arrived.fold(batches[number], batches[number]["phase"] == 1)
    compared = arrived.compared(told)
    assert compared == (4, 2000, True, ())
    assert arrived.requests(1) == 500
    assert arrived.requests(0) == 0, "all of its records are of a warm-up"
    merged = Sketch()
    for _, sketch in told.values():
        merged.merge(sketch)
    assert merged == whole
    told[2] = (501, told[2][1])
    add_latencies(told[3][1], batches[3][:1])
    again = arrived.compared(told)
    assert not again.same
    assert [text.split(",")[0] for text in again.wrong] == [
        "Worker 2 had 501 records",
        "The latencies of worker 3 are others than it had measured",
    ]
    assert arrived.compared({9: (1, Sketch())}).wrong == (
        "Worker 9 had 1 records, the journal has 0",
    )


def test_what_compares_two_machines_clocks_has_their_bound_in_its_error(
    story: Story, shares: WorkerShares
) -> None:
    """Latencies are differences on one clock: they stay as they are."""
    tags = {"request_latency": 0.5, "request_latency_intended": 0.5, "send_lag": None,
            "burst_skew": None, "request_throughput": None}  # fmt: skip
    metrics = {
        tag: MetricSummary(
            tag=tag, header=tag, unit="requests/s" if "put" in tag else "ms", error_bar=bar,
            error_bar_source="stamps" if bar else "",
        )
        for tag, bar in tags.items()
    }  # fmt: skip
    hosts = host_rows(story, shares)
    told = {
        t: (m.error_bar, m.error_bar_source) for t, m in with_clock_bound(metrics, hosts).items()
    }
    assert told == {
        "request_latency": (0.5, "stamps"),
        "request_latency_intended": (pytest.approx(0.62), "stamps+clock"),
        "send_lag": (pytest.approx(0.12), "clock"),
        "burst_skew": (pytest.approx(0.12), "clock"),
        "request_throughput": (None, ""),
    }
    assert with_clock_bound(metrics, ()) == metrics


def test_the_report_says_what_needs_no_offset_and_who_shares_a_clock(
    story: Story, shares: WorkerShares
) -> None:
    """A jump of a clock is told; a run on one machine says nothing of all this."""
    compared = Compared(3, 20, same=True, wrong=())
    notes = " ".join(host_notes(host_rows(story, shares), compared))
    assert "3 workers joined from 2 machines" in notes
    assert "120 us" in notes
    assert "1 of 3 workers read the controller's own clock" in notes
    assert "bucket for bucket that of the journal's 20" in notes
    wrong = Compared(3, 20, same=False, wrong=("x",))
    assert "bucket" not in " ".join(host_notes(host_rows(story, shares), wrong))
    assert "parted" not in notes
    story.workers[1] = clock(120.0, jumps=2)
    assert "2 times" in " ".join(host_notes(host_rows(story, shares), compared))
    assert host_notes((), compared) == ()
    assert host_rows(Story(), shares) == ()


def test_a_calibration_speaks_of_its_own_machine_only(story: Story) -> None:
    """Requests sent from another one have no error bar of it, and the report says why."""
    known = Calibration(
        made_wall_ns=1,
        facts={},
        levels=(),
        ceilings=Ceilings(requests_per_s=1.0, events_per_s=1.0, connections=1),
    )
    story.host_id, story.calibration = "a", known
    leave_out_calibration(story)
    assert story.calibration is None
    assert "says nothing of b" in story.calibration_problem
    alone = Story()
    alone.host_id, alone.calibration, alone.joined = "a", known, {0: joined(0, "a")}
    leave_out_calibration(alone)
    assert alone.calibration is known
