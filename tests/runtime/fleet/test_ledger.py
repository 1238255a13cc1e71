"""What a coordinator commits is there, whole, for the one after it; on every database."""

import asyncio

import pytest
from fleet_rig import FirstCome, InstantEngine
from ledger_rig import attempt, decision, happened, leading, spec, step, task
from sqlalchemy import text

from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Outcome, Worker
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
from steelyard.kernel.errors import FileError, SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger import ASKED_MAX, SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries, TaskFilter
from steelyard.runtime.fleet.ports import Change, LostLeadershipError


def worker(name, **holds):
    has = Capabilities(cpu_cores=8, gpus=(Gpu(model="H200", memory_gb=141),), labels={"rack": "7"})
    return Worker(worker_id=name, capabilities=has, slots=4, holds=holds.get("holds", {}))


def test_what_was_committed_is_there_for_the_next_coordinator(place):
    whole = task(
        "t", "running", attempt=2, token=7, worker_id="w", user="ada", project="x", priority=-3,
        payload={"argv": ["a", 1, None, 2.5]}, requirements=Requirements(gpus=1, gpu_model="*H*"),
        depends_on=("u",), labels={"k": "v"}, submitted_ns=11,
    )  # fmt: skip
    first = leading(place)
    first.commit(Change(tasks=(whole,), workers=(worker("w", holds={7: "t"}),), next_token=8))
    first.leadership.resign()
    first.close()
    second = leading(place)
    kept = second.load()
    assert (kept.tasks, kept.next_token) == ((whole,), 8)
    assert kept.workers == (worker("w", holds={7: "t"}),)
    second.close()


def test_a_coordinator_goes_on_from_what_has_not_ended_and_what_is_still_held(ledger):
    states = ("pending", "leased", "completed", "failed", "cancelled", "dead-letter")
    ended_but_held = task("held", "cancelled")
    ledger.commit(
        Change(
            tasks=(*(task(state, state) for state in states), ended_but_held),
            workers=(worker("w", holds={3: "held"}),),
            next_token=4,
        )
    )
    names = {each.spec.task_id for each in ledger.load().tasks}
    assert names == {"pending", "leased", "held"}


def test_a_later_commit_of_a_task_replaces_the_earlier(ledger):
    ledger.commit(Change(tasks=(task("t"),), next_token=1))
    ledger.commit(Change(tasks=(task("t", "leased", token=1, worker_id="w"),), next_token=2))
    (kept,) = ledger.load().tasks
    assert (kept.state, kept.token) == ("leased", 1)


def test_a_change_is_there_whole_or_not_at_all(ledger):
    """The database itself refuses the last part of it."""
    queries = LedgerQueries(ledger.database)
    ledger.commit(step(1))
    fails = {
        "sqlite": "CREATE TRIGGER no BEFORE INSERT ON fleet_events BEGIN"
        " SELECT RAISE(ABORT, 'no events today'); END",
        "postgresql": "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN"
        " RAISE EXCEPTION 'no events today'; END $$ LANGUAGE plpgsql;"
        "CREATE TRIGGER no BEFORE INSERT ON fleet_events EXECUTE FUNCTION no()",
    }
    ledger.database.write(lambda c: c.execute(text(fails[c.dialect.name])))
    with pytest.raises(FileError, match="no events today"):
        ledger.commit(step(2))
    assert ledger.load().next_token == 2
    assert queries.task("counter").spec.priority == 1
    assert queries.task("t2-0") is None
    assert queries.attempts("t2-0") == queries.decisions("t2-0") == ()


def test_after_a_failed_commit_a_coordinator_leads_anew(ledger, monkeypatch):
    def fail(*_):
        raise FileError("Can't use the ledger: disk full")

    with monkeypatch.context() as patch:
        patch.setattr("steelyard.runtime.fleet.ledger._commit", fail)
        with pytest.raises(FileError):
            ledger.commit(step(1))
    with pytest.raises(LostLeadershipError):
        ledger.commit(step(1))
    with pytest.raises(FileError, match="disk full"):  # who writes beside it is told why
        ledger.led()
    assert ledger.lead("me", wait_s=0).epoch == 2
    ledger.commit(step(1))
    assert ledger.load().next_token == 2


def test_who_does_not_lead_commits_nothing(place):
    ledger = SqlLedger(place)
    with pytest.raises(LostLeadershipError, match="does not lead"):
        ledger.commit(step(1))
    assert ledger.load().tasks == ()
    ledger.close()


def test_tasks_are_recalled_by_id_and_by_key_ended_or_not(ledger):
    many = [f"t{n}" for n in range(ASKED_MAX + 100)]
    done = task("done", "completed", user="ada", idempotency_key="k")
    ledger.commit(Change(tasks=(*map(task, many), done), next_token=1))
    found = ledger.recall([*many, "nobody"], [("ada", "k"), ("bob", "k"), ("ada", "")])
    assert {each.spec.task_id for each in found} == {*many, "done"}
    assert ledger.recall([], []) == ()
    assert len(ledger.recall(["done"], [("ada", "k")])) == 1


def test_a_key_of_none_is_no_key(ledger):
    ledger.commit(Change(tasks=(task("t", user="ada"),), next_token=1))
    assert ledger.recall((), [("ada", "")]) == ()


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        (10**30, str(10**30)),
        ({"a": [10**30, True, None]}, {"a": [str(10**30), True, None]}),
        ("\ud800 half", "\\ud800 half"),
        ("a\0b", "a\0b"),
        (complex(1, 2), "(1+2j)"),
    ],
)
def test_an_odd_result_stops_nobody(ledger, result, kept):
    outcome = Outcome(ending=Ending.SUCCEEDED, result=result)
    ledger.commit(Change(tasks=(task("t", "completed", outcome=outcome),), next_token=1))
    assert LedgerQueries(ledger.database).task("t").outcome.result == kept


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b", "a'; --", "%s :x ?", "é\u202e"])
def test_any_text_can_be_kept_and_looked_for(ledger, odd):
    kept = task("t", user=odd, idempotency_key=odd, project=odd, priority=2**63 - 1)
    ledger.commit(Change(tasks=(kept,), happened=(happened(odd),), decisions=(decision(odd),)))
    ask = LedgerQueries(ledger.database)
    assert [t.spec.user for t in ask.tasks(TaskFilter(user=odd, project=odd)).tasks] == [
        odd.encode(errors="backslashreplace").decode()
    ]
    assert len(ledger.recall([odd], [(odd, odd)])) == 1
    assert ask.task(odd) is None
    assert (len(ask.events(task_id=odd)), len(ask.decisions(odd))) == (1, 1)


class Running:
    def __init__(self, ledger, engine=None):
        kept = ledger.load()
        fleet, clock = Fleet(), SystemClock()
        fleet.restore(kept.tasks, kept.workers, kept.next_token, clock.wall_ns())
        self.heard = []

        async def listen(item):
            self.heard.append(item.name)

        self.engine = engine or InstantEngine()
        engines = {"instant": self.engine}
        self.driver = FleetDriver(fleet, ledger, FirstCome(), engines, listen, clock)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.driver.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


async def test_a_coordinator_works_on_it_and_the_next_goes_on(place):
    first = leading(place)
    async with Running(first, InstantEngine(behave=lambda lease, spec: None)) as run:
        await run.driver.tell(Submitted((spec("t"), spec("u", depends_on=("t",)))))
        await run.until(lambda: run.engine.submitted)
    first.leadership.resign()
    first.close()
    second = leading(place)
    async with Running(second) as run:
        await run.until(lambda: run.heard.count("task_completed") == 2)
    queries = LedgerQueries(second.database)
    assert queries.counts()["completed"] == 2
    assert [a.outcome.ending for a in queries.attempts("t")] == [Ending.LOST, Ending.SUCCEEDED]
    assert [e.name for e in queries.events(task_id="u")] == [
        "task_created", "task_assigned", "task_started", "task_completed",
    ]  # fmt: skip
    assert [d.taken for d in queries.decisions("u")] == [True]
    second.close()


async def test_a_deposed_coordinator_stops_and_does_nothing_more(place):
    ledger = leading(place)
    async with Running(ledger) as run:
        await run.until(lambda: run.driver.fleet.book.workers)
        ledger.leadership.resign()
        other = leading(place, "other")
        with pytest.raises(LostLeadershipError):
            await run.driver.tell(Submitted((spec("t"),)))
        with pytest.raises(SteelyardError, match="no longer leads"):
            await run.task
    assert not run.engine.submitted
    assert {t.spec.task_id for t in other.load().tasks} == set()
    ledger.close()
    other.close()


def test_the_history_keeps_how_attempts_ended_and_not_their_results(ledger):
    ledger.commit(
        Change(
            tasks=(task("t", "completed", outcome=Outcome(ending=Ending.SUCCEEDED, result=[1])),),
            attempts=(attempt("t", 1, error="exit 1"), attempt("t", 2, Ending.SUCCEEDED, result=9)),
            decisions=(decision("t"),),
            happened=(happened("t"),),
            next_token=3,
        )
    )
    first, second = LedgerQueries(ledger.database).attempts("t")
    assert (first.outcome.error, first.leased_ns, first.token) == ("exit 1", 1_000_000_000, 1)
    assert (second.outcome.ending, second.outcome.result) == (Ending.SUCCEEDED, None)


def test_the_last_attempts_are_there_for_a_scheduler_s_history(ledger):
    """The first first, each with its task, without what is large and says nothing of time."""
    names = ("a", "b", "c")
    tasks = [task(n, "completed", payload={"x": 1}, user="u", labels={"type": n}) for n in names]
    done = [attempt("c", 3), attempt("a", 1, ending=Ending.SUCCEEDED, result=[1]), attempt("b", 2)]
    ledger.commit(Change(tasks=tuple(tasks), attempts=tuple(done)))
    found = ledger.recent(10)
    assert [each.task_id for _, each in found] == ["a", "b", "c"]
    known, first = found[0]
    assert (known.spec.user, known.spec.labels, known.spec.payload) == ("u", {"type": "a"}, {})
    assert (known.state, first.outcome.ending, first.outcome.result) == (
        "completed", Ending.SUCCEEDED, None,
    )  # fmt: skip
    assert [each.task_id for _, each in ledger.recent(2)] == ["b", "c"]
    assert LedgerQueries(ledger.database).task("a").spec.payload == {"x": 1}
