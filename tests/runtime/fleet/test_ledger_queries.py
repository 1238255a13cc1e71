"""What is asked of a ledger; on every database."""

import pytest
from ledger_rig import decision, happened, leading, step, task

from steelyard.domain.fleet.model import Worker
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.ledger_queries import LedgerQueries, TaskFilter
from steelyard.runtime.fleet.ports import Change


@pytest.fixture
def ask(ledger):
    return LedgerQueries(ledger.database)


def names(page):
    return [task.spec.task_id for task in page.tasks]


def test_a_task_that_nobody_submitted_is_none(ask):
    assert ask.task("nobody") is None
    assert ask.attempts("nobody") == ()


def test_pages_hold_every_task_once_the_latest_first(ledger, ask):
    """250 tasks of ten instants: the order within one is by id."""
    tasks = [task(f"t{n:03}", submitted_ns=1 + n // 25) for n in range(250)]
    ledger.commit(Change(tasks=tuple(tasks), next_token=1))
    seen, after = [], ""
    while True:
        page = ask.tasks(limit=40, after=after)
        seen += names(page)
        after = page.next
        if not after:
            break
        assert len(page.tasks) == 40
    assert seen == [f"t{n:03}" for n in reversed(range(250))]


def test_a_page_goes_on_where_it_ended_although_tasks_came(ledger, ask):
    ledger.commit(Change(tasks=tuple(task(f"t{n}", submitted_ns=n + 1) for n in range(4))))
    first = ask.tasks(limit=2)
    ledger.commit(Change(tasks=(task("new", submitted_ns=99),)))
    assert names(first) == ["t3", "t2"]
    assert names(ask.tasks(limit=2, after=first.next)) == ["t1", "t0"]


def test_a_page_that_never_was_is_refused(ask):
    for after in ("x", "12", ":a", "-5:a", f"{'9' * 5000}:a"):
        with pytest.raises(UsageError, match="No page"):
            ask.tasks(after=after)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (TaskFilter(), ["d", "c", "b", "a"]),
        (TaskFilter(user="ada"), ["c", "a"]),
        (TaskFilter(user="ada", project="x"), ["a"]),
        (TaskFilter(kind="pytest"), ["d"]),
        (TaskFilter(states=("failed", "completed")), ["d", "b"]),
        (TaskFilter(priority_min=5), ["d", "c"]),
        (TaskFilter(priority_min=-9, user="bob"), ["d", "b"]),
        (TaskFilter(submitted_from_ns=20, submitted_before_ns=40), ["c", "b"]),
        (TaskFilter(worker_id="w1"), ["c"]),
        (TaskFilter(user="ada'; DROP TABLE fleet_tasks --"), []),
    ],
)
def test_tasks_are_found_by_what_they_are(ledger, ask, wanted, found):
    ledger.commit(
        Change(
            tasks=(
                task("a", user="ada", project="x", submitted_ns=10),
                task("b", "failed", user="bob", submitted_ns=20, priority=-1),
                task("c", "leased", user="ada", submitted_ns=30, priority=5, worker_id="w1"),
                task("d", "completed", user="bob", submitted_ns=40, priority=7, kind="pytest"),
            )
        )
    )
    assert names(ask.tasks(wanted)) == found
    assert sum(ask.counts(wanted).values()) == len(found)


def test_tasks_are_counted_by_state_with_zeros(ledger, ask):
    assert set(ask.counts().values()) == {0}
    ledger.commit(Change(tasks=(task("a"), task("b"), task("c", "dead-letter"))))
    counts = ask.counts()
    assert {state: n for state, n in counts.items() if n} == {"pending": 2, "dead-letter": 1}
    assert len(counts) == 7


def test_a_task_that_nobody_dated_was_submitted_when_it_was_saved(ledger, ask):
    ledger.commit(Change(tasks=(task("old", submitted_ns=5), task("now"))))
    assert names(ask.tasks()) == ["now", "old"]


def test_the_last_decisions_about_a_task_come_in_order(ledger, ask):
    several = tuple(decision("t", f"reason {n}") for n in range(5))
    ledger.commit(Change(decisions=(*several, decision("other"))))
    assert [d.reasons for d in ask.decisions("t", limit=2)] == [("reason 3",), ("reason 4",)]


def test_the_history_ends_with_the_attempt_under_way(ledger, ask):
    ledger.commit(step(1))
    ledger.commit(
        Change(
            tasks=(task("t1-0", "running", attempt=2, token=9, worker_id="v", started_ns=3),),
            next_token=10,
        )
    )
    over, current = ask.attempts("t1-0")
    assert (over.attempt, over.outcome.ending) == (1, "failed")
    assert (current.attempt, current.token, current.worker_id) == (2, 9, "v")
    assert current.outcome is None


def test_events_since_a_number_come_once_in_order(ledger, ask):
    ledger.commit(Change(happened=(happened("a"), happened("b"))))
    first = ask.events()
    assert [e.arguments["task_id"] for e in first] == ["a", "b"]
    ledger.commit(Change(happened=(happened("a", "task_started"), happened("c"))))
    later = ask.events(after=first[-1].seq)
    assert [(e.name, e.at_ns) for e in later] == [("task_started", 5), ("task_created", 5)]
    assert ask.last_event() == later[-1].seq
    assert [e.name for e in ask.events(task_id="a")] == ["task_created", "task_started"]
    assert ask.events(after=ask.last_event()) == ()


def test_events_of_projects_are_those_of_their_tasks_and_of_none(ledger, ask):
    """Names that no column holds as they are find their tasks all the same."""
    of_project = {"a": "one", "b": "two", "c": "", "d": "o\0dd"}
    ledger.commit(
        Change(
            tasks=tuple(task(name, project=each) for name, each in of_project.items()),
            happened=(*map(happened, of_project), happened("", "worker_failed"), happened("gone")),
        )
    )

    def names(*projects):
        return [e.arguments["task_id"] for e in ask.events(projects=projects)]

    assert names() == [*of_project, "", "gone"]
    assert names("one") == ["a", ""]
    assert names("two", "o\0dd") == ["b", "d", ""]
    assert names("three") == [""]
    assert ask.events(task_id="b", projects=("one",)) == ()
    assert ask.of_projects(["a", "b", "gone", "a"], ("one", "two")) == {"a", "b"}
    assert ask.of_projects([f"x{n}" for n in range(1_200)] + ["b"], ("two",)) == {"b"}
    assert ask.of_projects([], ("one",)) == frozenset()


def test_workers_are_those_last_saved(ledger, ask):
    ledger.commit(Change(workers=(Worker(worker_id="w", capabilities=Capabilities(), slots=1),)))
    ledger.commit(Change(workers=(Worker(worker_id="w", capabilities=Capabilities(), slots=9),)))
    assert [w.slots for w in ask.workers()] == [9]


def test_everybody_can_read_who_leads(place):
    first = leading(place, "alpha:8000")
    ask = LedgerQueries(first.database)
    assert (ask.leader().owner, ask.leader().epoch) == ("alpha:8000", 1)
    first.leadership.resign()
    assert ask.leader().owner == ""
    first.close()


def test_numbers_beyond_all_columns_are_answered(ledger, ask):
    ledger.commit(step(1))
    far = 10**30
    assert ask.events(after=far) == ()
    assert len(ask.events(after=-far, limit=far)) == 3
    assert ask.tasks(TaskFilter(priority_min=far)).tasks == ()
    assert len(ask.tasks(TaskFilter(submitted_before_ns=far), limit=-far).tasks) == 1
    assert len(ask.tasks(after="99999999999999999999:t").tasks) == 4
