"""A stranger's scheduler can be slow, wrong or dead: the fleet goes on, and says so."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from fleet_queue import CPU, QueueRig, spec
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Proposal
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import guarded_scheduler
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.guarded_scheduler import GuardedScheduler


class Stranger(FirstCome):  # type: ignore[misc]  # support modules are Any to mypy
    """Serves the last first; waits as long as it was told to."""

    def __init__(self):
        super().__init__()
        self.go, self.begun = threading.Event(), threading.Event()
        self.go.set()
        self.threads, self.passes, self.fault = set(), 0, None

    def propose(self, free, workers, now_ns):
        self.threads.add(threading.current_thread())
        if not free:
            return []
        self.passes += 1
        self.begun.set()
        self.go.wait(90)
        if self.fault is not None:
            raise self.fault
        self.queue = dict(sorted(self.queue.items(), reverse=True))
        return super().propose(free, workers, now_ns)


@pytest.fixture
def stranger(monkeypatch):
    # What does not hang comes back in time on any machine; `hangs` is for what does.
    for name in ("PASS_WITHIN_S", "LOOK_WITHIN_S", "HANGS_S"):
        monkeypatch.setattr(guarded_scheduler, name, 60.0)
    made = Stranger()
    yield made
    made.go.set()


@pytest.fixture
def hangs(stranger, monkeypatch):
    """Return a function that has the stranger's passes hang, and be given up soon."""

    def hang():
        stranger.go.clear()
        monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 0.1)

    return hang


def guarded(stranger, slots=1, **more):
    scheduler = GuardedScheduler(stranger, "strange", **more)
    return scheduler, QueueRig(scheduler, cpu=(CPU, slots))


def test_a_scheduler_that_is_quick_decides_in_a_thread_of_its_own(stranger):
    scheduler, rig = guarded(stranger)
    rig.submit(spec("a"), spec("b"))
    assert rig.serve(2) == ["b", "a"]
    assert threading.current_thread() not in stranger.threads
    assert len(stranger.threads) == 1
    assert not scheduler.quarantined
    scheduler.close()


def test_what_takes_too_long_is_served_as_it_came_and_the_decision_says_why(
    stranger, hangs, monkeypatch
):
    scheduler, rig = guarded(stranger)
    rig.submit(spec("a"), spec("b"))
    hangs()
    assert rig.tasks() == ["a"]
    reasons = rig.decided[-1].proposal.reasons
    assert reasons[-1] == (
        "First come, first served: scheduler strange took longer than 0.1 s for a pass."
    )
    assert stranger.begun.wait(30)
    rig.end("a")
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 60.0)
    begun = time.monotonic()
    assert rig.tasks() == ["b"]  # it has not come back: it is not waited for again
    assert time.monotonic() - begun < 30
    assert stranger.passes == 1
    scheduler.close()


def test_one_that_comes_back_late_is_asked_again_and_what_it_proposed_is_dropped(
    stranger, hangs, monkeypatch
):
    scheduler, rig = guarded(stranger)
    rig.submit(spec("a"), spec("b"), spec("c"))
    hangs()
    assert rig.tasks() == ["a"]
    stranger.go.set()
    scheduler._under_way.result(60)
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 60.0)
    rig.end("a")
    assert rig.serve(2) == ["c", "b"]
    assert scheduler.metrics()["guard_failures"] == 1
    assert scheduler.metrics()["guard_first_come_passes"] == 1
    scheduler.close()


def test_one_that_does_not_come_back_is_quarantined(stranger, hangs, monkeypatch, caplog):
    monkeypatch.setattr(guarded_scheduler, "HANGS_S", 0.2)
    scheduler, rig = guarded(stranger)
    rig.submit(*(spec(f"t{n}") for n in range(3)))
    hangs()
    assert rig.tasks() == ["t0"]
    time.sleep(0.25)
    rig.end("t0")
    assert rig.serve(2) == ["t1", "t2"]
    assert scheduler.quarantined == "has not come back for 0.2 s"
    assert "Scheduler strange is quarantined: it has not come back" in caplog.text
    assert scheduler.metrics()["quarantined"] == 1


def test_what_raises_three_times_in_a_row_is_quarantined_and_nobody_else_harmed(stranger):
    scheduler, rig = guarded(stranger)
    rig.submit(*(spec(f"t{n}") for n in range(5)))
    stranger.fault = ZeroDivisionError("no such thing")
    assert rig.serve(2) == ["t0", "t1"]
    stranger.fault = None
    assert rig.serve(1) == ["t4"]
    stranger.fault = SystemExit(3)
    assert rig.serve(2) == ["t2", "t3"]
    assert not scheduler.quarantined
    rig.submit(spec("last"))
    assert rig.serve(1) == ["last"]
    assert "failed to propose leases: SystemExit" in scheduler.quarantined
    passes = stranger.passes
    rig.submit(spec("more"))
    assert rig.serve(1) == ["more"]
    assert stranger.passes == passes


@pytest.mark.parametrize("what", ["added", "removed", "leased"])
def test_one_that_can_not_hear_of_the_queue_is_asked_no_more(stranger, what):
    """Who knows what it knows: a task that it missed would wait for ever."""

    def fail(_):
        raise KeyError("type")

    scheduler, rig = guarded(stranger)
    setattr(stranger, what, fail)
    rig.submit(spec("a"), spec("b"))
    rig.turn()
    rig.end(next(iter(rig.fleet.book.workers["cpu"].holds.values())))
    rig.turn()
    rig.turn()
    assert "lost track of the queue" in scheduler.quarantined
    assert {d.proposal.task_id for d in rig.decided} == {"a", "b"}


@pytest.mark.parametrize(
    "proposed",
    [7, Proposal(task_id=7, worker_id="cpu"), Proposal(task_id="a", worker_id="cpu", reasons=(1,))],
)
def test_what_is_no_proposal_is_a_failure(stranger, proposed):
    stranger.propose = lambda free, workers, now_ns: [proposed] if free else []
    scheduler, rig = guarded(stranger)
    rig.submit(spec("a"))
    assert rig.tasks() == ["a"]
    assert "something else than a lease" in scheduler.metrics()["guard_trouble"]
    scheduler.close()


def test_proposals_without_end_are_cut_off_at_the_free_slots(stranger):
    def propose(free, workers, now_ns):
        while free:
            yield Proposal(task_id="a", worker_id="cpu")

    stranger.propose = propose
    scheduler, rig = guarded(stranger, slots=2)
    rig.submit(spec("a"))
    assert rig.tasks() == ["a"]
    scheduler.close()


def test_others_stand_in_within_the_limit_of_its_options(stranger):
    scheduler, rig = guarded(stranger, slots=4, tasks_max=2)
    rig.submit(*(spec(f"t{n}") for n in range(4)))
    stranger.fault = ValueError("no")
    assert rig.tasks() == ["t0", "t1"]
    scheduler.close()


def test_why_and_metrics_are_waited_for_a_moment_only(stranger, monkeypatch):
    scheduler, rig = guarded(stranger)
    assert scheduler.metrics()["queued"] == 0
    go = threading.Event()
    stranger.metrics = lambda: go.wait(90) and {}
    monkeypatch.setattr(guarded_scheduler, "LOOK_WITHIN_S", 0.05)
    begun = time.monotonic()
    assert scheduler.metrics()["queued"] == 0  # as it last told
    monkeypatch.setattr(guarded_scheduler, "LOOK_WITHIN_S", 60.0)
    for _ in range(20):
        assert scheduler.metrics()["queued"] == 0  # it has yet to come back: it is not asked
    assert time.monotonic() - begun < 30
    rig.submit(spec("a"), spec("b"))
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 0.1)
    assert rig.tasks() == ["a"]
    (held, *_) = rig.desk.why_held(rig.fleet.book.tasks["b"], rig.now_ns) or ("",)
    late = "Scheduler strange took longer than 0.1 s for a pass: first come, first served."
    assert held in {"", late}
    go.set()
    scheduler.close()


async def test_the_coordinators_loop_goes_on_while_a_pass_hangs(stranger, monkeypatch):
    """Its lease is renewed there: a loop that stood still would lose it."""
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 1.0)
    beats, failures = 0, 0

    async def listen(item):
        """Nobody listens."""

    async def beat():
        nonlocal beats
        while True:
            under_way = scheduler._under_way is not None and not scheduler._under_way.done()
            given_up = scheduler._counts["guard_failures"] > failures
            if under_way and not stranger.go.is_set() and not given_up:
                beats += 1  # in a pass that hangs and is not given up yet
            await asyncio.sleep(0.01)

    scheduler = GuardedScheduler(stranger, "strange")
    driver = FleetDriver(
        Fleet(), MemoryLedger(), scheduler, {"instant": InstantEngine()}, listen, SystemClock(),
        scheduler_name="strange",
    )  # fmt: skip
    beating = asyncio.create_task(beat())
    running = asyncio.create_task(driver.run())
    try:
        await driver.ready.wait()
        failures = scheduler._counts["guard_failures"]  # of a machine that stood still till now
        stranger.go.clear()
        async with asyncio.timeout(40):
            await driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(20))))
            while driver.fleet.book.tasks:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        beating.cancel()
        await asyncio.gather(running, beating, return_exceptions=True)
    assert beats > 0
    assert scheduler.metrics()["guard_first_come_passes"] > 0
    assert scheduler.quarantined == "is no longer in use"


def test_a_scheduler_that_hangs_keeps_no_process_from_its_end():
    program = (
        "import threading\n"
        "from steelyard.runtime.fleet.own_thread import OwnThread\n"
        "OwnThread('hangs').submit(threading.Event().wait)\n"
        "print('over')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr


class Looks(Stranger):
    """Notes what it sees of the workers and of a task, before and after it was waited for."""

    def __init__(self):
        super().__init__()
        self.seen, self.back = [], threading.Event()

    def look(self, free, workers):
        held = {name: dict(worker.holds) for name, worker in workers.items()}
        tasks = sorted((task.spec.task_id, str(task.state)) for task in self.queue.values())
        self.seen.append((held, [each.worker.free_slots for each in free], tasks))

    def propose(self, free, workers, now_ns):
        if not free:
            return ()
        assert all(each.worker is workers[each.worker.worker_id] for each in free)
        self.look(free, workers)
        found = list(super().propose(free, workers, now_ns))
        self.look(free, workers)
        self.back.set()
        return found


def test_a_pass_that_is_given_up_sees_the_fleet_as_it_was_when_it_began(monkeypatch):
    """It goes on in its thread, while leases change what it was shown."""
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 0.1)
    stranger = Looks()
    scheduler, rig = guarded(stranger, slots=2)
    stranger.go.clear()
    rig.submit(spec("a"), spec("b"))
    assert rig.tasks() == ["a", "b"]  # served in its place
    rig.end("a")
    stranger.go.set()
    assert stranger.back.wait(60)
    before, after = stranger.seen
    assert before == after
    assert before[1:] == ([2], [("a", "pending"), ("b", "pending")])
    scheduler.close()


def test_what_a_scheduler_does_to_its_workers_is_not_done_to_the_fleets(stranger):
    def propose(free, workers, now_ns):
        for worker in workers.values():
            worker.slots = 0
            worker.holds.clear()
        return ()

    stranger.propose = propose
    scheduler, rig = guarded(stranger, slots=2)
    rig.submit(spec("a"))
    assert rig.tasks() == []
    assert all(worker.slots == 2 for worker in rig.fleet.book.workers.values())
    scheduler.close()
