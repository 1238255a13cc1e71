"""Why a task is not running: what it waits for, or what each worker lacks."""

from collections import Counter
from collections.abc import Callable, Sequence

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.model import Task, Worker
from steelyard.domain.fleet.requirements import unmet
from steelyard.domain.fleet.states import TASK_ENDS, TASK_HELD, TaskState
from steelyard.kernel.units import NS_PER_S

NAMED_MAX = 5
_ENDED = {
    TaskState.COMPLETED: "It completed",
    TaskState.FAILED: "It failed",
    TaskState.CANCELLED: "It was cancelled",
    TaskState.DEAD_LETTER: "It was set aside as a dead letter",
}


def why(
    book: Book,
    task_id: str,
    now_ns: int,
    held: Callable[[Task], Sequence[str]] = lambda _: (),
) -> tuple[str, ...]:
    """Return a sentence for each thing that keeps a task where it is.

    Args:
        book: knows of the task.
        task_id: its id.
        now_ns: Unix time.
        held: asked of a ready task for which a worker is free; what the scheduler says of it.

    Raises:
        KeyError: there is no such task.
    """
    task = book.tasks[task_id]
    if task.state in TASK_ENDS:
        return (f"{_ENDED[task.state]}{': ' + task.reason if task.reason else ''}.", *task.failures)
    if task.state in TASK_HELD:
        word = "is running" if task.state is TaskState.RUNNING else "was given"
        return (f"It {word} on worker {task.worker_id}, attempt {task.attempt}.",)
    reasons: list[str] = []
    if task.waiting_for:
        names = sorted(task.waiting_for)
        states = [f"{name} ({book.tasks[name].state})" for name in names[:NAMED_MAX]]
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        reasons.append(f"It waits for {', '.join(states)}{more}.")
    if task.not_before_ns > now_ns:
        wait_s = (task.not_before_ns - now_ns) / NS_PER_S
        reasons.append(f"It is tried again in {wait_s:.0f} s, after: {task.reason}.")
    breaker = book.endpoints.get(task.spec.endpoint) if task.spec.endpoint else None
    if breaker is not None and not breaker.allows(now_ns):
        next_try = (
            "one task is trying it" if breaker.trying else _left(breaker.open_until_ns, now_ns)
        )
        times = f"{breaker.failures} times in a row"
        reasons.append(f"{task.spec.endpoint} could not be reached {times}; {next_try}.")
    return tuple(reasons) or _of_workers(book, task, now_ns, held)


def _left(until_ns: int, now_ns: int) -> str:
    return f"it is tried again in {max(until_ns - now_ns, 0) / NS_PER_S:.0f} s"


def _of_workers(
    book: Book, task: Task, now_ns: int, held: Callable[[Task], Sequence[str]]
) -> tuple[str, ...]:
    if not book.workers:
        return ("There is no worker. Start one: steelyard fleet join",)
    found = Counter(_of_worker(book, task, worker, now_ns) for worker in book.workers.values())
    is_free = bool(found.pop("", 0))
    count = len(book.workers)
    lines = tuple(f"{number} of {count} workers: {text}." for text, number in found.most_common())
    if is_free:
        said = tuple(held(task))
        waits = "It is ready, and a worker is free: the scheduler has not chosen it yet."
        return (*said, *lines) if said else (waits,)
    if any(_fits(task, worker) for worker in book.workers.values()):
        return lines
    return ("No worker has what it needs; it waits for one that does.", *lines)


def _fits(task: Task, worker: Worker) -> bool:
    return not unmet(task.spec.requirements, worker.worker_id, worker.capabilities)


def _of_worker(book: Book, task: Task, worker: Worker, now_ns: int) -> str:
    lacking = unmet(task.spec.requirements, worker.worker_id, worker.capabilities)
    if lacking:
        return "; ".join(lacking)
    if not worker.takes_more:
        return "draining" if worker.draining else str(worker.state)
    if not worker.free_slots:
        return f"all {worker.slots} slots are taken"
    if not book.room(worker).has(task.spec.requirements):
        return "fits, once what runs there has ended"
    breaker = book.breaker(worker.worker_id)
    if breaker.allows(now_ns):
        return ""
    next_try = "one task is trying it" if breaker.trying else _left(breaker.open_until_ns, now_ns)
    return f"held back after it lost {breaker.failures} attempts in a row; {next_try}"
