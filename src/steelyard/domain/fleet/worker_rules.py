"""What happens to workers: they come, speak, fall silent, die, drain and leave."""

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.events import (
    DrainAsked,
    ForgetWorker,
    Refused,
    Reschedule,
    Revoke,
    WorkerHeard,
    WorkerRegistered,
)
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Ending, Lease, Outcome, Task, Worker, seconds
from steelyard.domain.fleet.states import TASK_HELD, TaskState, WorkerState, WorkerStep
from steelyard.domain.fleet.task_rules import revoke, settle_attempt


def register(book: Book, event: WorkerRegistered, now_ns: int) -> None:
    """Take up a worker. One that was known has started anew: what it held is lost."""
    worker = book.workers.get(event.worker_id)
    if worker is None:
        worker = Worker(
            worker_id=event.worker_id, capabilities=event.capabilities, registered_ns=now_ns
        )
        book.workers[event.worker_id] = worker
    else:
        _lose(book, worker, f"worker {worker.worker_id} started anew", now_ns)
        if worker.state is not WorkerState.ALIVE:
            book.move_worker(worker, WorkerStep.HEAR)
    worker.capabilities, worker.slots = event.capabilities, event.slots
    worker.draining = False
    _hear(book, worker, now_ns)
    book.save_worker(worker)
    book.fire(
        FleetHook.WORKER_REGISTERED, worker_id=worker.worker_id, capabilities=event.capabilities
    )


def heard(book: Book, event: WorkerHeard, now_ns: int) -> None:
    """Note that a worker lives, and set right what it and we think it works on."""
    worker = book.workers.get(event.worker_id)
    if worker is None or worker.state is WorkerState.GONE:
        book.actions.append(Refused("WorkerHeard", "", f"worker {event.worker_id} must register"))
        return
    was = worker.state
    _hear(book, worker, now_ns)
    if was is not WorkerState.ALIVE:
        book.move_worker(worker, WorkerStep.HEAR)
        book.fire(FleetHook.WORKER_RECOVERED, worker_id=worker.worker_id)
    for token in event.tokens:
        if token not in worker.holds:
            lease = Lease(task_id="", worker_id=worker.worker_id, attempt=0, token=token)
            book.actions.append(Revoke(lease, "that lease does not hold"))
    for token, task_id in list(worker.holds.items()):
        task = book.tasks[task_id]
        is_current = task.token == token
        if token in event.tokens:
            book.absent.discard(token)
            if not is_current:
                book.actions.append(Revoke(_stale(worker, task_id, token), "it was revoked"))
        elif not is_current:
            book.let_go(token)
        elif task.state is TaskState.RUNNING:
            _missing(book, worker, task, now_ns)


def _missing(book: Book, worker: Worker, task: Task, now_ns: int) -> None:
    """A running attempt that its worker does not name, twice, is lost; its end may be under way."""
    if task.token not in book.absent:
        book.absent.add(task.token)
        return
    token = task.token
    book.absent.discard(token)
    _lose_one(book, worker, task, f"worker {worker.worker_id} no longer knows of it", now_ns)
    book.let_go(token)


def _stale(worker: Worker, task_id: str, token: int) -> Lease:
    return Lease(task_id=task_id, worker_id=worker.worker_id, attempt=0, token=token)


def _hear(book: Book, worker: Worker, now_ns: int) -> None:
    worker.heard_ns = now_ns
    book.timers.set("silent", worker.worker_id, now_ns + seconds(book.limits.silent_s))
    book.timers.set("lost", worker.worker_id, now_ns + seconds(book.limits.lost_s))


def left(book: Book, worker_id: str, reason: str, now_ns: int) -> None:
    """Let a worker go; its tasks go back without blame."""
    worker = _known(book, worker_id, "WorkerLeft")
    if worker is None or worker.state is WorkerState.GONE:
        return
    for token, task_id in list(worker.holds.items()):
        task = book.tasks[task_id]
        if task.token == token and task.state in TASK_HELD:
            outcome = Outcome(ending=Ending.CANCELLED, error=f"worker {worker_id}: {reason}")
            settle_attempt(book, task, outcome, now_ns)
        book.let_go(token)
    _quiet(book, worker)
    book.move_worker(worker, WorkerStep.LEAVE, reason)
    book.fire(FleetHook.WORKER_DISCONNECTED, worker_id=worker_id)


def silent(book: Book, worker_id: str) -> None:
    """Give a worker nothing more until it speaks."""
    worker = book.workers[worker_id]
    if worker.state is WorkerState.ALIVE:
        book.move_worker(worker, WorkerStep.MISS, "no heartbeat")
        book.fire(FleetHook.WORKER_DISCONNECTED, worker_id=worker_id)


def died(book: Book, worker_id: str, reason: str, now_ns: int) -> None:
    """Take back what a dead worker held."""
    worker = _known(book, worker_id, "WorkerDied")
    if worker is None or worker.state in (WorkerState.FAILED, WorkerState.GONE):
        return
    _quiet(book, worker)
    book.move_worker(worker, WorkerStep.FAIL, reason)
    book.fire(FleetHook.WORKER_FAILED, worker_id=worker_id, error=reason)
    _lose(book, worker, f"worker {worker_id}: {reason}", now_ns)


def drain(book: Book, event: DrainAsked) -> None:
    """Have a worker take nothing more, or again."""
    worker = _known(book, event.worker_id, "DrainAsked")
    if worker is not None:
        worker.draining = event.on
        book.save_worker(worker)


def forget(book: Book, before_ns: int) -> None:
    """Let go of workers that ended long ago: where nodes come and go, they are many."""
    old = [
        worker.worker_id for worker in book.workers.values()
        if is_outlived(worker, before_ns)
    ]  # fmt: skip
    for worker_id in old:
        del book.workers[worker_id]
        book.breakers.pop(worker_id, None)
        book.timers.drop("worker", worker_id)
        book.actions.append(ForgetWorker(worker_id))


def is_outlived(worker: Worker, before_ns: int) -> bool:
    """Tell whether a worker is dead or gone, holds nothing, and last spoke before a time."""
    has_ended = worker.state in (WorkerState.FAILED, WorkerState.GONE)
    return has_ended and not worker.holds and worker.heard_ns < before_ns


def lease_over(book: Book, task_id: str, now_ns: int) -> None:
    """End an attempt that did not start, or did not end, in its time."""
    task = book.tasks[task_id]
    if task.state not in TASK_HELD:
        return
    if task.state is TaskState.LEASED:
        outcome = Outcome(
            ending=Ending.LOST, error=f"did not start within {book.limits.start_s:g} s"
        )
    else:
        text = f"ran longer than its {task.spec.timeout_s:g} s"
        outcome = Outcome(ending=Ending.TIMED_OUT, error=text, seconds=task.spec.timeout_s)
    revoke(book, task, outcome.error, now_ns)
    settle_attempt(book, task, outcome, now_ns)


def slot_over(book: Book, token: int) -> None:
    """Free the slot of a revoked attempt of which nothing was heard."""
    if book.let_go(token) is not None:
        book.actions.append(Reschedule())


def _lose(book: Book, worker: Worker, reason: str, now_ns: int) -> None:
    """Take back all that a worker held; its recovery begins."""
    held = [
        task_id for token, task_id in worker.holds.items() if book.tasks[task_id].token == token
    ]
    if held:
        book.recoveries.begin(worker.worker_id, tuple(held))
        names = {"worker_id": worker.worker_id, "task_ids": tuple(held)}
        book.fire(FleetHook.RECOVERY_STARTED, **names)
    for number, task_id in enumerate(held):
        # One death is one failure of the worker, however much it held.
        _lose_one(book, worker, book.tasks[task_id], reason, now_ns, is_counted=not number)
    for token in list(worker.holds):
        book.let_go(token)


def _lose_one(
    book: Book, worker: Worker, task: Task, reason: str, now_ns: int, *, is_counted: bool = True
) -> None:
    if worker.worker_id not in task.lost_on:
        task.lost_on = (*task.lost_on, worker.worker_id)
    book.actions.append(Revoke(book.lease_of(task), reason))
    outcome = Outcome(ending=Ending.LOST, error=reason)
    settle_attempt(book, task, outcome, now_ns, is_counted=is_counted)


def _quiet(book: Book, worker: Worker) -> None:
    book.timers.drop("silent", worker.worker_id)
    book.timers.drop("lost", worker.worker_id)


def _known(book: Book, worker_id: str, event: str) -> Worker | None:
    worker = book.workers.get(worker_id)
    if worker is None:
        book.actions.append(Refused(event, "", f"there is no worker {worker_id}"))
    return worker
