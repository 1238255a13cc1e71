"""The machine of a fleet: told what happened, it says what is wanted, and nothing else changes.

`handle(event, now_ns)` returns actions in the order in which they are to be done, saves first: a
coordinator that dies between the save and the rest finds in the ledger what it was about to do.
States and steps are the tables of `states`.
"""

from collections.abc import Iterable
from typing import assert_never

import msgspec

from steelyard.domain.fleet import task_rules, worker_rules
from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.events import (
    Action,
    AttemptEnded,
    AttemptStarted,
    CancelAsked,
    DrainAsked,
    Event,
    Proposed,
    Reschedule,
    SaveTask,
    SaveWorker,
    Submitted,
    Ticked,
    WakeAt,
    WorkerDied,
    WorkerEvent,
    WorkerHeard,
    WorkerLeft,
    WorkerRegistered,
    WorkersOutlived,
)
from steelyard.domain.fleet.model import ERROR_MAX, Limits, Task, Worker, seconds
from steelyard.domain.fleet.states import TASK_HELD, TaskState, WorkerState


class Fleet:
    """The tasks and workers of one coordinator.

    Args:
        limits: when silence means what.

    Attributes:
        book: who is where; others may look, and change nothing.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.book = Book(limits or Limits())

    def restore(
        self, tasks: Iterable[Task], workers: Iterable[Worker], next_token: int, now_ns: int
    ) -> list[Action]:
        """Go on from a ledger: leases hold, and every worker has its time to speak."""
        book = self.book
        book.next_token = next_token
        for worker in workers:
            book.workers[worker.worker_id] = worker
            book.holders |= dict.fromkeys(worker.holds, worker.worker_id)
            if worker.state in (WorkerState.ALIVE, WorkerState.DISCONNECTED):
                at_ns = now_ns + seconds(book.limits.lost_s)
                book.timers.set("lost", worker.worker_id, at_ns)
        for task in tasks:
            _bring_to(task, now_ns)
            book.add(task, now_ns)
            if task.state in TASK_HELD:
                running = task.state is TaskState.RUNNING
                limit_s = task.spec.timeout_s if running else book.limits.start_s
                at_ns = now_ns + seconds(limit_s + book.limits.grace_s)
                book.timers.set("lease", task.spec.task_id, at_ns)
        for token, worker_id in book.holders.items():
            task_id = book.workers[worker_id].holds[token]
            if book.tasks[task_id].token != token:
                book.timers.set("freed", str(token), now_ns + seconds(book.limits.grace_s))
        return self._wanted()

    def recall(self, tasks: Iterable[Task], now_ns: int) -> None:
        """Take up ended tasks that new ones refer to, and that `restore` was not given."""
        for task in tasks:
            if task.spec.task_id not in self.book.tasks:
                self.book.add(task, now_ns)

    def forget(self) -> tuple[str, ...]:
        """Let go of tasks that have ended, once all that was wanted is saved and done.

        A fleet that runs for months holds in memory what is not over; the ledger has the rest. A
        task that a worker still holds stays until its slot is free, and what new tasks refer to
        comes back by `recall`.

        Returns:
            the ids of those that nothing here knows of any more.
        """
        return self.book.forget()

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """Take an event; return what is wanted because of it.

        Raises:
            FleetStateError: a bug of ours.
        """
        book = self.book
        self._tick(now_ns)
        match event:
            case Submitted():
                task_rules.submit(book, event, now_ns)
            case CancelAsked():
                task_rules.cancel(book, event, now_ns)
            case Proposed():
                task_rules.propose(book, event, now_ns)
            case AttemptStarted():
                task_rules.started(book, event, now_ns)
            case AttemptEnded():
                task_rules.attempt_ended(book, _in_brief(event), now_ns)
            case Ticked():
                pass  # time went by above, as with every event
            case _:
                self._told_of_workers(event, now_ns)
        return self._wanted()

    def _told_of_workers(self, event: WorkerEvent, now_ns: int) -> None:
        book = self.book
        match event:
            case WorkerRegistered():
                worker_rules.register(book, event, now_ns)
            case WorkerHeard():
                worker_rules.heard(book, event, now_ns)
            case WorkerLeft():
                worker_rules.left(book, event.worker_id, event.reason, now_ns)
            case WorkerDied():
                worker_rules.died(book, event.worker_id, event.reason, now_ns)
            case DrainAsked():
                worker_rules.drain(book, event)
            case WorkersOutlived():
                worker_rules.forget(book, event.before_ns)
            case _:
                assert_never(event)

    def _tick(self, now_ns: int) -> None:
        book = self.book
        for kind, name in book.timers.take_due(now_ns):
            match kind:
                case "lease":
                    worker_rules.lease_over(book, name, now_ns)
                case "freed":
                    worker_rules.slot_over(book, int(name))
                case "retry":
                    book.refresh(book.tasks[name], now_ns)
                case "endpoint":
                    book.refresh_endpoint(name, now_ns)
                case "silent":
                    worker_rules.silent(book, name)
                case "lost":
                    worker_rules.died(book, name, "no heartbeat", now_ns)
                case _:
                    book.actions.append(Reschedule())  # a worker's breaker lets one try through

    def _wanted(self) -> list[Action]:
        """Return the actions so far, saves first and each once."""
        actions, self.book.actions = self.book.actions, []
        saves = dict.fromkeys(a for a in actions if isinstance(a, SaveTask | SaveWorker))
        rest: list[Action] = [
            a for a in actions if not isinstance(a, SaveTask | SaveWorker | Reschedule)
        ]
        if any(isinstance(action, Reschedule) for action in actions):
            rest.append(Reschedule())
        at_ns = self.book.timers.next_ns()
        return [*saves, *rest, *([WakeAt(at_ns)] if at_ns is not None else [])]


def _bring_to(task: Task, now_ns: int) -> None:
    """Bound what a task waits for by a clock that was ahead of this one's: no wait gets longer."""
    task.not_before_ns = min(task.not_before_ns, now_ns + seconds(task.spec.backoff.max_s))
    task.ready_ns = min(task.ready_ns, now_ns)


def _in_brief(event: AttemptEnded) -> AttemptEnded:
    """Bound what an attempt says of its failure: it is kept, and told, several times."""
    outcome = event.outcome
    if len(outcome.error) <= ERROR_MAX:
        return event
    brief = msgspec.structs.replace(outcome, error=f"{outcome.error[: ERROR_MAX - 1]}…")
    return AttemptEnded(event.task_id, event.token, brief)
