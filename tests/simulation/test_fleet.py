"""Whatever dies, is lost or comes twice: no task is lost, no result accepted that is not due."""

import logging
from collections import Counter

import pytest

from steelyard.domain.fleet import machine, task_rules, worker_rules
from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.retry import Breaker
from steelyard.domain.fleet.states import FleetStateError
from steelyard.domain.fleet.timers import Timers
from steelyard.testing.fleet_promises import BrokenPromiseError
from steelyard.testing.fleet_world import World

LOG = logging.getLogger(__name__)
SEEDS = 10_000
PART = 1_000
FAULTS = {
    "message lost", "message twice", "worker killed", "partition", "coordinator killed",
    "coordinator killed after a save", "clock jumps", "cancel", "submitted again",
    "dead workers forgotten",
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_task_of_every_seed_comes_to_its_end(first, record_property):
    """Under faults of each kind; a failing seed is named and can be run alone."""
    faults, events, forgotten = Counter(), Counter(), 0
    for seed in range(first, first + PART):
        try:
            world = World(seed).run()
        except (BrokenPromiseError, FleetStateError) as error:
            pytest.fail(f"seed {seed}: {error}")
        faults += world.faults
        events += world.events
        forgotten += world.forgotten
    record_property("faults", dict(faults))
    record_property("events", dict(events))
    record_property("forgotten", forgotten)
    assert set(faults) == FAULTS
    assert min(faults.values()) > PART / 10
    assert forgotten > PART  # what ended is forgotten, and nobody missed it
    LOG.info("seeds %d to %d: %s; %s", first, first + PART - 1, dict(faults), dict(events))


def test_a_seed_is_the_same_world_each_time():
    one, other = World(7).run(), World(7).run()
    assert (one.faults, one.events, one.now_ns) == (other.faults, other.events, other.now_ns)


def deaf_timers(kind):
    """Return a bug: nothing of this kind is ever due."""

    def plant(patch):
        whole = Timers.set

        def set_most(self, what, name, at_ns):
            if what != kind:
                whole(self, what, name, at_ns)

        patch.setattr(Timers, "set", set_most)

    return plant


def any_token_is_accepted(patch):
    whole = task_rules.attempt_ended

    def lenient(book, event, now_ns):
        task = book.tasks.get(event.task_id)
        if task is not None and task.token:
            event = type(event)(event.task_id, task.token, event.outcome)
        whole(book, event, now_ns)

    patch.setattr(machine.task_rules, "attempt_ended", lenient)


def tasks_of_the_dead_are_forgotten(patch):
    def forget(book, worker, reason, now_ns):
        for token in list(worker.holds):
            book.let_go(token)
            book.timers.drop("lease", worker.holds.get(token, ""))

    patch.setattr(worker_rules, "_lose", forget)
    deaf_timers("lease")(patch)


def tokens_begin_again_after_a_restart(patch):
    whole = Fleet.restore
    patch.setattr(Fleet, "restore", lambda self, t, w, token, now: whole(self, t, w, 1, now))


def slots_are_not_counted(patch):
    patch.setattr("steelyard.domain.fleet.model.Worker.free_slots", property(lambda self: 1))


def slots_stay_taken(patch):
    patch.setattr(Book, "let_go", lambda self, token: None)


def dependents_are_not_told(patch):
    patch.setattr(Book, "dependents", lambda self, task_id: iter(()))


def a_breaker_keeps_its_one_try(patch):
    patch.setattr("steelyard.domain.fleet.retry.OPENS_AFTER", 1)  # so that many open
    for name in ("released", "succeeded", "failed"):
        whole = getattr(Breaker, name)

        def stuck(self, *args, whole=whole):
            trying = self.trying
            whole(self, *args)
            self.trying = trying

        patch.setattr(Breaker, name, stuck)


def ends_are_not_saved(patch):
    whole = Book.save

    def most(self, task):
        if task.state != "completed":
            whole(self, task)

    patch.setattr(Book, "save", most)


def a_restart_forgets_its_leases(patch):
    whole = Fleet.restore

    def forget(self, tasks, workers, token, now_ns):
        actions = whole(self, tasks, workers, token, now_ns)
        for name in self.book.tasks:
            self.book.timers.drop("lease", name)
        for name in self.book.workers:
            self.book.timers.drop("lost", name)
        return actions

    patch.setattr(Fleet, "restore", forget)


def what_was_cancelled_comes_back(patch):
    whole = task_rules.ended

    def revive(book, task, now_ns):
        whole(book, task, now_ns)
        if task.state == "cancelled":
            task.state = type(task.state).PENDING
            book.save(task)
            book.refresh(task, now_ns)

    patch.setattr(task_rules, "ended", revive)


def what_ended_is_not_looked_up(patch):
    patch.setattr(Fleet, "recall", lambda self, tasks, now_ns: None)


def what_ended_is_remembered(patch):
    patch.setattr(Book, "forget", lambda self: ())


BUGS = {
    "any token is accepted": any_token_is_accepted,
    "tasks of the dead are forgotten": tasks_of_the_dead_are_forgotten,
    "tokens begin again after a restart": tokens_begin_again_after_a_restart,
    "slots are not counted": slots_are_not_counted,
    "slots stay taken": slots_stay_taken,
    "dependents are not told": dependents_are_not_told,
    "a breaker keeps its one try": a_breaker_keeps_its_one_try,
    "ends are not saved": ends_are_not_saved,
    "a restart forgets its leases": a_restart_forgets_its_leases,
    "what was cancelled comes back": what_was_cancelled_comes_back,
    "a wait never ends": deaf_timers("retry"),
    "no lease runs out": deaf_timers("lease"),
    "what ended is not looked up": what_ended_is_not_looked_up,
    "what ended is remembered for ever": what_ended_is_remembered,
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_put_in_on_purpose_is_caught(bug, monkeypatch):
    """Within 300 seeds; that the promises can be broken is what makes them worth something."""
    BUGS[bug](monkeypatch)
    for seed in range(300):
        try:
            World(seed).run()
        except (BrokenPromiseError, FleetStateError):
            return
    pytest.fail(f"nobody noticed in 300 seeds that {bug}")
