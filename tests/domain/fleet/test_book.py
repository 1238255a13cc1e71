"""What has ended is forgotten once nobody needs it, and nothing else is."""

import pytest

from steelyard.domain.fleet import events as ev
from steelyard.domain.fleet import task_rules
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import (
    Backoff,
    Ending,
    Limits,
    Outcome,
    Proposal,
    TaskSpec,
    seconds,
)
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.why import why

PATIENT = Limits(silent_s=1e6, lost_s=1e6)
DONE = Outcome(ending=Ending.SUCCEEDED)
FAILED = Outcome(ending=Ending.FAILED, error="exit code 1")
AWAY = Outcome(ending=Ending.UNREACHABLE, error="refused")


def spec(name, **more):
    return TaskSpec(task_id=name, kind="command", **more)


class Rig:
    """A machine with one worker, and what was saved of it."""

    def __init__(self, slots=2):
        self.fleet, self.now_ns, self.saved = Fleet(PATIENT), seconds(1_000.0), {}
        self.tell(ev.WorkerRegistered("w", Capabilities(), slots))

    def tell(self, event, after_s=0.0):
        self.now_ns += seconds(after_s)
        actions = self.fleet.handle(event, self.now_ns)
        tasks = self.fleet.book.tasks
        self.saved |= {a.task_id: tasks[a.task_id] for a in actions if isinstance(a, ev.SaveTask)}
        return [a.reason for a in actions if isinstance(a, ev.Refused)]

    def submit(self, *specs):
        return self.tell(ev.Submitted(specs))

    def begin(self, name):
        assert not self.tell(ev.Proposed((Proposal(task_id=name, worker_id="w"),)))

    def end(self, name, outcome=DONE, after_s=1.0):
        self.tell(ev.AttemptEnded(name, self.fleet.book.tasks[name].token, outcome), after_s)

    def run(self, name, outcome=DONE):
        self.begin(name)
        self.end(name, outcome)


@pytest.fixture
def rig():
    return Rig()


def test_a_task_that_ended_is_forgotten_and_counted(rig):
    rig.submit(spec("a"), spec("b"))
    rig.run("a")
    assert rig.fleet.forget() == ("a",)
    assert rig.fleet.forget() == ()
    assert list(rig.fleet.book.tasks) == ["b"]
    assert rig.fleet.book.ended == {"completed": 1}


def test_what_a_worker_still_holds_is_kept_until_its_slot_is_free(rig):
    """Its room is not free before: who asks for the whole machine would get half of it."""
    rig.submit(spec("a"))
    rig.begin("a")
    token = rig.fleet.book.tasks["a"].token
    rig.tell(ev.CancelAsked("a"))
    assert rig.fleet.forget() == ()
    assert rig.tell(ev.AttemptEnded("a", token, FAILED)) == ["that lease does not hold"]
    assert rig.fleet.forget() == ("a",)


def test_one_that_is_forgotten_answers_nobody(rig):
    rig.submit(spec("a"))
    rig.run("a")
    rig.fleet.forget()
    assert rig.tell(ev.AttemptEnded("a", 1, DONE)) == ["that lease does not hold"]
    assert rig.tell(ev.AttemptStarted("a", 1)) == ["that lease does not hold"]
    assert rig.tell(ev.CancelAsked("a")) == ["there is no such task"]


def test_what_is_recalled_is_known_again_and_forgotten_again(rig):
    """An id, an idempotency key and a dependency are as good as before; the counts stay."""
    rig.submit(spec("a", user="u", idempotency_key="k"), spec("bad"))
    rig.run("a")
    rig.run("bad", FAILED)
    rig.fleet.forget()
    rig.fleet.recall((rig.saved["a"], rig.saved["bad"]), rig.now_ns)
    assert rig.submit(
        spec("a"), spec("twin", user="u", idempotency_key="k"), spec("next", depends_on=("a",)),
        spec("doomed", depends_on=("bad",)),
    ) == ["there is a task of that id", "it is task a, by its idempotency key"]  # fmt: skip
    rig.begin("next")
    assert rig.saved["doomed"].reason == "dependency bad did not complete: failed"
    assert set(rig.fleet.forget()) == {"a", "bad", "doomed"}
    assert rig.fleet.book.ended == {"completed": 1, "failed": 1, "cancelled": 1}
    assert not rig.fleet.book.keys


def test_one_that_ended_while_it_waited_is_waited_for_nowhere(rig):
    """For a dependency, for its retry, for an endpoint: each goes on without it."""
    rig.submit(spec("first"), spec("after", depends_on=("first",)))
    rig.submit(spec("again", retries=1, backoff=Backoff(first_s=5, jitter=0)))
    rig.run("again", FAILED)
    for name in ("d1", "d2", "d3"):
        rig.submit(spec(name, endpoint="http://x"))
        rig.run(name, AWAY)
    rig.submit(spec("held", endpoint="http://x"))
    for name in ("after", "again", "held"):
        rig.tell(ev.CancelAsked(name))
    assert set(rig.fleet.forget()) >= {"after", "again", "held"}
    assert (rig.fleet.book.waiting_on, rig.fleet.book.held_back) == ({}, {})
    rig.run("first")
    rig.tell(ev.Ticked(), 3_600.0)
    assert rig.fleet.forget() == ("first",)


def test_an_endpoint_that_answers_is_not_remembered(rig):
    rig.submit(*(spec(name, endpoint="http://x") for name in "abc"))
    rig.run("a")
    assert rig.fleet.book.endpoints == {}
    rig.run("b", AWAY)
    assert list(rig.fleet.book.endpoints) == ["http://x"]
    rig.run("c")
    assert rig.fleet.book.endpoints == {}


def test_endpoints_that_failed_are_remembered_up_to_a_bound(rig, monkeypatch):
    monkeypatch.setattr(task_rules, "ENDPOINTS_MAX", 10)
    for number in range(50):
        rig.submit(spec(f"t{number}", endpoint=f"http://x:{number}"))
        rig.run(f"t{number}", AWAY)
    assert len(rig.fleet.book.endpoints) == 10
    assert "http://x:49" in rig.fleet.book.endpoints


def test_workers_that_ended_long_ago_are_forgotten(rig):
    """Not one that holds something still, nor one that may speak again; and one may come back."""
    for name in ("dead", "left", "late", "new"):
        rig.tell(ev.WorkerRegistered(name, Capabilities(), 1))
    rig.submit(spec("t"))
    rig.tell(ev.Proposed((Proposal(task_id="t", worker_id="late"),)))
    rig.tell(ev.WorkerDied("dead", "SIGKILL"))
    rig.tell(ev.WorkerLeft("left"))
    rig.tell(ev.WorkerHeard("w"), 100.0)
    rig.tell(ev.WorkerRegistered("new", Capabilities(), 1))
    rig.tell(ev.WorkerDied("new", "SIGKILL"))
    before = rig.now_ns
    actions = rig.fleet.handle(ev.WorkersOutlived(before), rig.now_ns)
    gone = [each.worker_id for each in actions if isinstance(each, ev.ForgetWorker)]
    assert gone == ["dead", "left"]
    assert set(rig.fleet.book.workers) == {"w", "late", "new"}
    assert rig.tell(ev.WorkerHeard("dead")) == ["worker dead must register"]
    rig.tell(ev.WorkerRegistered("dead", Capabilities(), 1))
    assert rig.fleet.book.workers["dead"].takes_more


def test_ten_thousand_tasks_leave_nothing_behind():
    """Timers neither: the end of a lease of an hour does not wait an hour for its turn."""
    rig = Rig(slots=1)
    for number in range(10_000):
        name = f"t{number}"
        rig.submit(spec(name, user="u", idempotency_key=name, endpoint=f"http://x:{number}"))
        rig.begin(name)
        rig.tell(ev.AttemptStarted(name, rig.fleet.book.tasks[name].token))
        rig.end(name, after_s=0.001)
        rig.fleet.forget()
    book = rig.fleet.book
    for kept in (book.tasks, book.ready, book.keys, book.holders, book.over, book.endpoints):
        assert len(kept) == 0
    assert len(book.timers) < 100
    with pytest.raises(KeyError):
        why(book, "t1", rig.now_ns)
