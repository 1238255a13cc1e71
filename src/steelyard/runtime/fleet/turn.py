"""What one turn of a coordinator's loop comes to: events in, and what is remembered of it."""

from collections.abc import Iterable, Sequence

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.events import (
    Action,
    AttemptEnded,
    AttemptOver,
    AttemptStarted,
    Event,
    Fire,
    ForgetWorker,
    SaveTask,
    SaveWorker,
    WorkerDied,
    WorkerHeard,
    WorkerRegistered,
)
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.scheduling.desk import Decided
from steelyard.runtime.fleet.ports import Change, Decision, Happened


def event_of(told: EngineEvent) -> Event | None:
    """Return what the machine is told when an engine says something, None for nothing."""
    if told.kind == "worker_joined" and told.capabilities is not None:
        return WorkerRegistered(told.worker_id, told.capabilities, told.slots)
    if told.kind == "worker_died":
        return WorkerDied(told.worker_id, told.reason)
    if told.kind == "heard":
        return WorkerHeard(told.worker_id, told.tokens)
    if told.lease is None:
        return None
    if told.kind == "started":
        return AttemptStarted(told.lease.task_id, told.lease.token)
    if told.outcome is None:
        return None
    return AttemptEnded(told.lease.task_id, told.lease.token, told.outcome)


def decisions_of(decided: Iterable[Decided], scheduler: str, at_ns: int) -> list[Decision]:
    """Return what a scheduler proposed, and what became of it."""
    return [
        Decision(
            at_ns=at_ns, scheduler=scheduler, task_id=each.proposal.task_id,
            worker_id=each.proposal.worker_id, taken=not each.refused,
            reasons=(each.refused,) if each.refused else each.proposal.reasons,
        )
        for each in decided
    ]  # fmt: skip


def happened_of(actions: Iterable[Action], at_ns: int) -> list[Happened]:
    """Return what plugins are to hear of."""
    return [
        Happened(at_ns=at_ns, name=str(action.hook), arguments=dict(action.arguments))
        for action in actions
        if isinstance(action, Fire)
    ]


def change_of(
    book: Book, actions: Sequence[Action], decisions: list[Decision], happened: list[Happened]
) -> Change | None:
    """Return what the ledger is to have of a turn, None where there is nothing."""
    tasks = dict.fromkeys(a.task_id for a in actions if isinstance(a, SaveTask))
    workers = dict.fromkeys(a.worker_id for a in actions if isinstance(a, SaveWorker))
    forgotten = dict.fromkeys(a.worker_id for a in actions if isinstance(a, ForgetWorker))
    gone = tuple(name for name in forgotten if name not in book.workers)  # none that came back
    if not (tasks or workers or gone or decisions or happened):
        return None
    return Change(
        tasks=tuple(book.tasks[name] for name in tasks),
        workers=tuple(book.workers[name] for name in workers if name in book.workers),
        gone=gone,
        attempts=tuple(a.attempt for a in actions if isinstance(a, AttemptOver)),
        decisions=tuple(decisions),
        happened=tuple(happened),
        next_token=book.next_token,
    )
