"""The loop of a fleet does what its machine wants, in its order, and saves first."""

import asyncio
import threading

import pytest
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.domain.fleet.events import CancelAsked, Submitted, WorkerDied
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Backoff, Ending, Outcome, TaskSpec
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import chooser
from steelyard.runtime.fleet import driver as driver_module
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ports import LostLeadershipError, Remembered


def spec(name, **more):
    return TaskSpec(task_id=name, kind="command", **more)


class Running:
    """A driver that runs while the block does."""

    def __init__(self, engine=None, ledger=None, scheduler=None, **engines):
        self.engine, self.ledger = engine or InstantEngine(), ledger or MemoryLedger()
        self.heard = []

        async def listen(item):
            self.heard.append(item.name)

        self.driver = FleetDriver(
            Fleet(), self.ledger, scheduler or FirstCome(), {"instant": self.engine} | engines,
            listen, SystemClock(),
        )  # fmt: skip

    async def __aenter__(self):
        await self.driver.restore(self.ledger.load())
        self.task = asyncio.create_task(self.driver.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition, within_s=30.0):
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)


async def test_tasks_are_carried_out_and_remembered():
    async with Running() as run:
        assert await run.driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(50)))) == ()
        await run.until(lambda: run.heard.count("task_completed") == 50)
    assert {run.ledger.state(f"t{n}") for n in range(50)} == {"completed"}
    assert len({lease.token for lease in run.engine.submitted}) == 50
    assert [n for n in run.heard if n.startswith("task_c")][:50] == ["task_created"] * 50
    assert len([d for d in run.ledger.decisions if d.taken]) == 50


async def test_events_that_wait_share_a_commit():
    run = Running(InstantEngine(workers=0))
    told = [asyncio.create_task(run.driver.tell(Submitted((spec(f"t{n}"),)))) for n in range(500)]
    await asyncio.sleep(0)  # all of them wait by now, for the loop does not run yet
    async with run:
        await asyncio.gather(*told)
    assert (len(run.ledger.tasks), run.ledger.commits) == (500, 1)


async def test_what_is_refused_is_told_to_who_asked():
    async with Running() as run:
        await run.driver.tell(Submitted((spec("t"),)))
        (refused,) = await run.driver.tell(Submitted((spec("t"),)))
        assert refused.reason == "there is a task of that id"
        (refused,) = await run.driver.tell(CancelAsked("nobody"))
        assert refused.reason == "there is no such task"


async def test_a_cancelled_attempt_is_ended_by_its_engine():
    engine = InstantEngine(behave=lambda lease, spec: None)
    async with Running(engine) as run:
        await run.driver.tell(Submitted((spec("t"),)))
        await run.until(lambda: engine.submitted)
        await run.driver.tell(CancelAsked("t"))
        await run.until(lambda: engine.cancelled)
        book = run.driver.fleet.book
        await run.until(lambda: all(not worker.holds for worker in book.workers.values()))
    assert run.ledger.state("t") == "cancelled"


async def test_an_engine_that_refuses_is_no_end_of_the_task():
    calls = []

    def behave(lease, spec):
        calls.append(lease)
        if len(calls) == 1:
            raise SteelyardError("No room on this machine")
        return Outcome(ending=Ending.SUCCEEDED)

    async with Running(InstantEngine(behave=behave)) as run:
        await run.driver.tell(Submitted((spec("t", backoff=Backoff(first_s=0.01)),)))
        await run.until(lambda: run.heard.count("task_completed") == 1)
    assert len(calls) == 2


async def test_an_engine_that_raises_is_named_and_no_end_of_the_coordinator():
    """As if it refused: the next attempt may do better."""
    faults = iter([ZeroDivisionError("no such thing")])

    def behave(lease, spec):
        for fault in faults:
            raise fault
        return Outcome(ending=Ending.SUCCEEDED)

    async with Running(InstantEngine(behave=behave)) as run:
        await run.driver.tell(Submitted((spec("t", losses_max=1),)))
        await run.until(lambda: "task_completed" in run.heard)
    refused, _ = run.ledger.attempts
    assert refused.outcome.ending is Ending.REFUSED
    assert "Plugin engine 'instant' failed to take an attempt: Zero" in refused.outcome.error


async def test_an_engine_that_can_say_no_more_ends_the_loop_by_its_name():
    class Mute(InstantEngine):
        async def next_event(self):
            raise ZeroDivisionError("no such thing")

    async with Running(Mute()) as run:
        await asyncio.wait({run.task}, timeout=30)
        with pytest.raises(PluginError, match="Plugin engine 'instant' failed to say what happens"):
            run.task.result()


async def test_a_coordinator_that_no_longer_leads_does_nothing_more():
    class Deposed(MemoryLedger):
        def commit(self, change):
            if change.tasks:
                raise LostLeadershipError("another coordinator leads")
            super().commit(change)

    async with Running(ledger=Deposed()) as run:
        await run.until(lambda: run.driver.fleet.book.workers)
        with pytest.raises(LostLeadershipError):
            await run.driver.tell(Submitted((spec("t"),)))
        with pytest.raises(LostLeadershipError):
            await run.task
    assert not run.engine.submitted


async def test_every_attempt_is_kept_with_how_it_ended():
    endings = iter([Ending.FAILED, Ending.REFUSED, Ending.SUCCEEDED])
    engine = InstantEngine(behave=lambda lease, spec: Outcome(ending=next(endings)))
    async with Running(engine) as run:
        await run.driver.tell(Submitted((spec("t", retries=1, backoff=Backoff(first_s=0.01)),)))
        await run.until(lambda: run.heard.count("task_completed") == 1)
    kept = [(a.attempt, a.outcome.ending, a.worker_id != "") for a in run.ledger.attempts]
    assert kept == [(1, "failed", True), (2, "refused by the worker", True), (3, "succeeded", True)]


async def test_what_has_ended_is_known_to_a_coordinator_that_never_saw_it():
    ledger = MemoryLedger()
    async with Running(ledger=ledger) as run:
        await run.driver.tell(Submitted((spec("t", user="u", idempotency_key="k"),)))
        await run.until(lambda: run.heard.count("task_completed") == 1)

    class Forgetful(MemoryLedger):
        def load(self):
            return Remembered(next_token=2)

    later = Forgetful()
    later.tasks = ledger.tasks
    async with Running(ledger=later) as run:
        told = (
            spec("t"), spec("twin", user="u", idempotency_key="k"), spec("next", depends_on=("t",)),
        )  # fmt: skip
        refused = await run.driver.tell(Submitted(told))
        await run.until(lambda: run.heard.count("task_completed") == 1)
    assert [r.reason for r in refused] == [
        "there is a task of that id", "it is task t, by its idempotency key",
    ]  # fmt: skip
    assert later.state("next") == "completed"


async def test_a_new_coordinator_goes_on_from_the_ledger():
    ledger = MemoryLedger()
    async with Running(InstantEngine(behave=lambda lease, spec: None), ledger) as run:
        await run.driver.tell(Submitted((spec("t"), spec("u", depends_on=("t",)))))
        await run.until(lambda: run.engine.submitted)
    assert ledger.state("t") == "leased"
    async with Running(InstantEngine(), ledger) as run:
        # The engine's workers register anew: what they held is lost, and leased again.
        await run.until(lambda: run.heard.count("task_completed") == 2)
    assert {"recovery_started", "recovery_completed"} <= set(run.heard)
    assert run.engine.submitted[0].token == 2


async def test_a_worker_of_before_that_no_engine_brings_is_given_up_without_harm():
    ledger = MemoryLedger()
    async with Running(InstantEngine(workers=3, behave=lambda lease, spec: None), ledger) as run:
        await run.driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(12))))
        await run.until(lambda: len(run.engine.submitted) == 12)
    async with Running(InstantEngine(workers=2), ledger) as run:
        await run.until(lambda: len(run.driver.fleet.book.workers) == 3)
        await run.driver.tell(WorkerDied("w2", "it did not come back"))
        await run.until(lambda: run.heard.count("task_completed") == 12)
    assert {ledger.state(f"t{n}") for n in range(12)} == {"completed"}


async def test_what_is_noted_is_remembered_and_told_in_its_place():
    async with Running() as run:
        await run.driver.ready.wait()
        await run.driver.note("deployed", {"build": "7"})
        await run.driver.tell(Submitted((spec("t"),)))
        await run.until(lambda: "task_completed" in run.heard)
    assert run.heard.index("deployed") < run.heard.index("task_created")
    assert [h.arguments for h in run.ledger.happened if h.name == "deployed"] == [{"build": "7"}]
    assert run.heard[:2] == ["worker_registered"] * 2


async def test_what_has_ended_is_in_the_ledger_and_no_longer_in_memory():
    """And still can't be submitted again, and can be depended on."""
    async with Running() as run:
        await run.driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(20))))
        await run.until(lambda: run.heard.count("task_completed") == 20)
        await run.until(lambda: not run.driver.fleet.book.tasks)
        (refused,) = await run.driver.tell(
            Submitted((spec("t3"), spec("next", depends_on=("t3", "t4"))))
        )
        assert (refused.task_id, refused.reason) == ("t3", "there is a task of that id")
        await run.until(lambda: run.heard.count("task_completed") == 21)
        await run.until(lambda: not run.driver.fleet.book.tasks)
    assert len(run.engine.submitted) == 21


class Learner(FirstCome):  # type: ignore[misc]  # support modules are Any to mypy
    """Notes all that it is told, in order."""

    def __init__(self):
        super().__init__()
        self.told = []

    def added(self, task):
        self.told.append(("added", task.spec.task_id))
        super().added(task)

    def leased(self, task):
        self.told.append(("leased", task.spec.task_id))
        super().leased(task)

    def ended(self, task, attempt):
        self.told.append(("ended", attempt.task_id))


async def test_a_scheduler_that_comes_into_use_hears_of_the_past_first():
    """Each end once; then of leases, then of what waits."""
    learner = Learner()
    engine = InstantEngine(workers=1, slots=1)
    async with Running(engine) as run:
        await run.driver.tell(Submitted((spec("a"), spec("b"))))
        await run.until(lambda: run.heard.count("task_completed") == 2)
        engine.behave = lambda lease, spec: None
        await run.driver.tell(Submitted((spec("held"), spec("waits"))))
        await run.until(lambda: len(engine.submitted) == 3)
        await run.driver.use_scheduler(learner, "learner")
        assert run.driver.scheduler_name == "learner"
    assert learner.told == [
        ("ended", "a"), ("ended", "b"), ("leased", "held"), ("added", "waits"),
    ]  # fmt: skip


async def test_a_new_coordinator_tells_its_scheduler_of_the_past(monkeypatch):
    """The last attempts, as many as are wanted; and of the leases that hold."""
    monkeypatch.setattr(driver_module, "PAST_MAX", 3)
    ledger = MemoryLedger()
    engine = InstantEngine(workers=1, slots=1)
    async with Running(engine, ledger) as run:
        await run.driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(5))))
        await run.until(lambda: run.heard.count("task_completed") == 5)
        engine.behave = lambda lease, spec: None
        await run.driver.tell(Submitted((spec("held"), spec("waits"))))
        await run.until(lambda: len(engine.submitted) == 6)
    learner = Learner()
    other = Running(InstantEngine(workers=0), ledger, learner)
    await other.driver.restore(ledger.load())
    assert learner.told == [
        ("ended", "t2"), ("ended", "t3"), ("ended", "t4"), ("leased", "held"), ("added", "waits"),
    ]  # fmt: skip


async def test_a_loop_that_has_ended_says_so_to_who_asks():
    async with Running() as run:
        await run.driver.tell(Submitted((spec("t"),)))
    with pytest.raises(SteelyardError, match="has stopped"):
        await run.driver.tell(Submitted((spec("u"),)))


async def test_a_scheduler_that_holds_back_is_asked_again_though_nothing_happens(monkeypatch):
    class Patient(FirstCome):
        asked = 0

        def propose(self, free, workers, now_ns):
            self.asked += 1
            return super().propose(free, workers, now_ns) if self.asked > 8 else ()

    monkeypatch.setattr(chooser, "LOOK_AGAIN_S", 0.02)
    async with Running() as run:
        await run.driver.use_scheduler(Patient(), "patient")
        await run.driver.tell(Submitted((spec("t"),)))
        await run.until(lambda: run.heard.count("task_completed") == 1)


async def test_an_engine_that_does_not_stop_keeps_no_other_from_it(caplog):
    class Stuck(InstantEngine):
        async def stop(self):
            raise ZeroDivisionError("at the end")

    stopped = []

    class Other(InstantEngine):
        async def stop(self):
            stopped.append(self)

    async with Running(Stuck(), other=Other()) as run:
        await run.driver.tell(Submitted((spec("t"),)))
    assert len(stopped) == 1
    assert "Plugin engine 'instant' failed to stop: ZeroDivisionError" in caplog.text


async def test_who_asked_is_answered_though_the_loop_ends_in_the_middle_of_a_commit():
    """As when another coordinator has taken over: nobody waits for ever."""
    begun, go = threading.Event(), threading.Event()

    class Slow(MemoryLedger):
        def commit(self, change):
            if change.tasks:
                begun.set()
                go.wait(90)
            super().commit(change)

    async with Running(ledger=Slow()) as run:
        asked = asyncio.create_task(run.driver.tell(Submitted((spec("t"),))))
        await run.until(begun.is_set)
        run.task.cancel()
        with pytest.raises(SteelyardError, match="has stopped"):
            await asyncio.wait_for(asked, 30)
        go.set()


async def test_an_engine_that_can_not_end_an_attempt_is_no_end_of_the_coordinator(caplog):
    class Deaf(InstantEngine):
        async def cancel(self, lease):
            raise ZeroDivisionError("no such thing")

    async with Running(Deaf(behave=lambda lease, spec: None)) as run:
        await run.driver.tell(Submitted((spec("t"),)))
        await run.until(lambda: run.engine.submitted)
        await run.driver.tell(CancelAsked("t"))
        await run.until(lambda: "Plugin engine 'instant' failed to end an attempt" in caplog.text)
        run.engine.behave = InstantEngine().behave
        await run.driver.tell(Submitted((spec("u"),)))
        await run.until(lambda: "task_completed" in run.heard)


async def test_an_engine_that_can_not_begin_ends_the_loop_by_its_name():
    class Broken(InstantEngine):
        async def start(self):
            raise PermissionError("engine.lock")

    async with Running(Broken()) as run:
        await asyncio.wait({run.task}, timeout=30)
        with pytest.raises(PluginError, match="engine 'instant' failed to start: Permission"):
            run.task.result()


async def test_a_worker_of_before_is_given_nothing_until_an_engine_has_brought_it():
    """It would be refused: a loss of the task's, and failures that hold the worker back."""
    ledger = MemoryLedger()
    async with Running(InstantEngine(workers=1, slots=8), ledger) as run:
        await run.until(lambda: run.driver.fleet.book.workers)

    class Late(InstantEngine):
        async def start(self):
            await asyncio.sleep(0.2)
            return await super().start()

    async with Running(Late(workers=1, slots=8), ledger) as run:
        await run.driver.tell(Submitted(tuple(spec(f"t{n}") for n in range(8))))
        await run.until(lambda: run.heard.count("task_completed") == 8)
    assert {a.outcome.ending for a in ledger.attempts} == {Ending.SUCCEEDED}
