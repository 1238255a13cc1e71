"""What ended long ago can be forgotten, and nothing else is; on every database."""

import msgspec
import pytest
from ledger_rig import attempt, decision, happened, leading, task
from sqlalchemy import func, select, text

from steelyard.domain.fleet.events import CancelAsked
from steelyard.domain.fleet.model import Worker
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.runtime.fleet import ledger_forgetting
from steelyard.runtime.fleet.ledger import ASKED_MAX
from steelyard.runtime.fleet.ledger_forgetting import (
    forget,
    forget_decisions,
    forget_events,
    forgettable,
    standing,
)
from steelyard.runtime.fleet.ledger_inbox import Inbox
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_tables import ATTEMPTS, DECISIONS, EVENTS, TASKS
from steelyard.runtime.fleet.ports import Change, Happened, LostLeadershipError


def ended(name, at_ns, state="completed"):
    return msgspec.structs.replace(task(name, state), ended_ns=at_ns)


def about(*names):
    return {
        "attempts": tuple(attempt(name) for name in names),
        "decisions": tuple(decision(name) for name in names),
        "happened": tuple(happened(name) for name in names),
    }


def publish_all(ledger):
    ledger.database.write(lambda c: c.execute(text("UPDATE fleet_events SET published = 1")))


def count(ledger, table):
    asked = select(func.count()).select_from(table)
    return ledger.database.read(lambda c: c.execute(asked).scalar_one())


def test_what_ended_before_is_forgotten_with_all_about_it(ledger):
    names = ("old", "held", "new", "waiting")
    ledger.commit(
        Change(
            tasks=(
                ended("old", 10), ended("held", 10, "cancelled"), ended("new", 30), task("waiting"),
            ),
            workers=(
                Worker(worker_id="w", capabilities=Capabilities(), slots=2, holds={7: "held"}),
            ),
            **about(*names),
        )
    )  # fmt: skip
    publish_all(ledger)
    assert forget(ledger, 20) == 1
    assert forget(ledger, 20) == 0
    ask = LedgerQueries(ledger.database)
    assert {t.spec.task_id for t in ask.tasks().tasks} == {"held", "new", "waiting"}
    assert (ask.attempts("old"), ask.decisions("old"), ask.events(task_id="old")) == ((), (), ())
    assert [count(ledger, table) for table in (ATTEMPTS, DECISIONS, EVENTS)] == [3, 3, 3]
    assert {t.spec.task_id for t in ledger.load().tasks} == {"held", "waiting"}


def test_what_no_journal_has_is_kept(ledger):
    worker_came = Happened(at_ns=1, name="worker_registered", arguments={"worker_id": "w"})
    ledger.commit(Change(tasks=(ended("old", 10),), happened=(happened("old"), worker_came)))
    assert forget(ledger, 20) == 1
    assert forget_events(ledger, 20) == 0
    assert count(ledger, EVENTS) == 2
    last = LedgerQueries(ledger.database).last_event()
    publish_all(ledger)
    assert forget_events(ledger, 20) == 0
    assert count(ledger, EVENTS) == 0
    ledger.commit(Change(happened=(happened("next"),)))
    assert LedgerQueries(ledger.database).last_event() > last


def test_where_there_is_no_journal_no_event_waits_for_it(ledger):
    ledger.commit(Change(tasks=(ended("old", 10),), happened=(happened("old"), happened("?"))))
    forget(ledger, 20)
    assert forget_events(ledger, 20, published=False) == 0
    assert count(ledger, EVENTS) == 0


def test_events_are_looked_through_window_by_window(ledger, monkeypatch):
    """Those of tasks that are remembered stay, and young ones end the search."""
    monkeypatch.setattr(ledger_forgetting, "WINDOW", 10)
    old = [happened("there" if n % 2 else f"gone{n}") for n in range(25)]
    young = [Happened(at_ns=30, name="worker_failed", arguments={}) for _ in range(25)]
    ledger.commit(Change(tasks=(task("there"),), happened=(*old, *young)))
    publish_all(ledger)
    after, steps = forget_events(ledger, 20), 1
    while after:
        after, steps = forget_events(ledger, 20, after), steps + 1
    assert steps == 3
    assert count(ledger, EVENTS) == 12 + 25


def test_what_was_told_the_leader_and_answered_goes_too(ledger):
    inbox = Inbox(ledger, lambda: 10)
    for name in ("answered", "waits"):
        inbox.post(name, CancelAsked(name))
    inbox.answer(inbox.waiting()[0], ())
    forget_events(ledger, 20)
    assert inbox.answer_to("answered") is None
    assert [posted.message_id for posted in inbox.waiting()] == ["waits"]


def test_the_ledger_says_who_is_over_and_since_when(ledger):
    holder = Worker(worker_id="w", capabilities=Capabilities(), slots=2, holds={7: "held"})
    tasks = (ended("old", 10), ended("held", 10, "cancelled"), task("waiting"))
    ledger.commit(Change(tasks=tasks, workers=(holder,)))
    names = ["old", "held", "waiting", "unknown"]
    assert standing(ledger.database, names) == {"old": 10, "held": 0, "waiting": 0}
    assert (forgettable(ledger.database, 10), forgettable(ledger.database, 11)) == (0, 2)


def test_many_are_forgotten_part_by_part(ledger):
    many = tuple(ended(f"t{n}", 10) for n in range(ASKED_MAX + 5))
    ledger.commit(Change(tasks=many))
    assert [forget(ledger, 20), forget(ledger, 20), forget(ledger, 20)] == [ASKED_MAX, 5, 0]
    assert count(ledger, TASKS) == 0


def test_only_the_leader_forgets(place):
    first = leading(place)
    first.commit(Change(tasks=(ended("old", 10),)))
    first.leadership.resign()
    second = leading(place, "second")
    with pytest.raises(LostLeadershipError):
        forget(first, 20)
    assert forget(second, 20) == 1
    first.close()
    second.close()


def test_a_worker_that_is_forgotten_is_there_no_more(ledger):
    workers = tuple(Worker(worker_id=f"w{n}", capabilities=Capabilities()) for n in range(3))
    ledger.commit(Change(workers=workers))
    ledger.commit(Change(workers=workers[:1], gone=("w1", "w2")))
    assert [worker.worker_id for worker in ledger.load().workers] == ["w0"]


def test_decisions_about_tasks_that_never_were_are_forgotten(ledger, monkeypatch):
    """A scheduler may propose what it made up; what it decided of what waits stays."""
    monkeypatch.setattr(ledger_forgetting, "WINDOW", 2)
    decided = [decision(name) for name in ("ghost", "waiting", "ghost", "ghost", "waiting")]
    old = [msgspec.structs.replace(each, at_ns=10) for each in decided]
    young = msgspec.structs.replace(decision("ghost"), at_ns=30)
    ledger.commit(Change(tasks=(task("waiting"),), decisions=(*old, young)))
    after, calls = forget_decisions(ledger, 20), 1
    while after:
        after, calls = forget_decisions(ledger, 20, after), calls + 1
    assert calls == 3
    ask = LedgerQueries(ledger.database)
    assert len(ask.decisions("waiting")) == 2
    assert [each.at_ns for each in ask.decisions("ghost")] == [30]
