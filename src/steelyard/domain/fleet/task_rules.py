"""What happens to tasks: they are submitted, leased, carried out, tried again, and end."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from math import inf

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.events import (
    AttemptEnded,
    AttemptStarted,
    CancelAsked,
    Dispatch,
    Proposed,
    Refused,
    Reschedule,
    Revoke,
    Submitted,
)
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import (
    OWN_FAILURES,
    Ending,
    Outcome,
    Proposal,
    Task,
    TaskSpec,
    Worker,
    seconds,
    task_data,
)
from steelyard.domain.fleet.requirements import unmet
from steelyard.domain.fleet.retry import Breaker, wait_ns
from steelyard.domain.fleet.states import TASK_ENDS, TASK_HELD, TaskState, TaskStep

ENDPOINTS_MAX = 10_000
"""Endpoints that failed lately and are remembered; one that answered again is not."""
_AMOUNTS = ("cpu_cores", "memory_gb", "disk_gb", "gpus", "gpu_memory_gb")


def submit(book: Book, event: Submitted, now_ns: int) -> None:
    """Take up tasks; those that can't be are refused, the others are not."""
    specs: dict[str, TaskSpec] = {}
    for spec in event.specs:
        if specs.setdefault(spec.task_id, spec) is not spec:
            book.actions.append(Refused("Submitted", spec.task_id, "its id comes twice"))
    for name in _in_order(book, specs):
        spec = specs[name]
        reason = _why_not(book, spec)
        if reason:
            book.actions.append(Refused("Submitted", name, reason))
            continue
        unended = {d for d in spec.depends_on if book.tasks[d].state not in TASK_ENDS}
        task = Task(spec=spec, waiting_for=frozenset(unended))
        book.add(task, now_ns)
        book.save(task)
        book.fire(FleetHook.TASK_CREATED, task_id=name, task_data=task_data(task))
        broken = [
            d for d in spec.depends_on
            if book.tasks[d].state in TASK_ENDS - {TaskState.COMPLETED}
        ]  # fmt: skip
        if broken:
            _cancel(book, task, _broken(book.tasks[broken[0]]), now_ns)


def _in_order(book: Book, specs: Mapping[str, TaskSpec]) -> list[str]:
    """Return tasks behind those they depend on; refuse what a circle keeps from having a place."""
    graph = {name: [d for d in spec.depends_on if d in specs] for name, spec in specs.items()}
    sorter, circle = TopologicalSorter(graph), ""
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
    order: list[str] = []
    while ready := sorter.get_ready():  # also with circles: all that none keeps back
        order += ready
        sorter.done(*ready)
    if circle:
        reason = f"its dependencies go in a circle: {circle}"
        left = specs.keys() - set(order)
        book.actions += [Refused("Submitted", name, reason) for name in specs if name in left]
    return order


def _broken(task: Task) -> str:
    return f"dependency {task.spec.task_id} did not complete: {task.state}"


def _why_not(book: Book, spec: TaskSpec) -> str:
    if not spec.task_id or not spec.task_id.isprintable():
        return "its id is empty, or holds what can't be printed"
    for name in _AMOUNTS:
        amount = getattr(spec.requirements, name)
        if not 0 <= amount < inf:  # less than nothing would be room for others
            return f"it can't require {amount!r} of {name}"
    if spec.task_id in book.tasks:
        return "there is a task of that id"
    if spec.idempotency_key:
        first = book.keys.get((spec.user, spec.idempotency_key))
        if first is not None:
            return f"it is task {first}, by its idempotency key"
    unknown = [name for name in spec.depends_on if name not in book.tasks]
    return not_there(unknown[0]) if unknown else ""


def not_there(task_id: str) -> str:
    """Return why a task is refused that depends on one that there is not."""
    return f"it depends on {task_id}, which nobody submitted"


def cancel(book: Book, event: CancelAsked, now_ns: int) -> None:
    """End a task; its attempt is revoked, and its slot free when that has ended."""
    task = book.tasks.get(event.task_id)
    if task is None or task.state in TASK_ENDS:
        why = "there is no such task" if task is None else f"it is {task.state}"
        book.actions.append(Refused("CancelAsked", event.task_id, why))
        return
    _cancel(book, task, event.reason, now_ns)


def _cancel(book: Book, task: Task, reason: str, now_ns: int) -> None:
    _mark_cancelled(book, task, reason, now_ns)
    ended(book, task, now_ns)


def _mark_cancelled(book: Book, task: Task, reason: str, now_ns: int) -> None:
    if task.state in TASK_HELD:
        revoke(book, task, reason, now_ns)
        book.attempt_over(task, Outcome(ending=Ending.CANCELLED, error=reason), now_ns)
        book.breaker(task.worker_id).released()
    _free_endpoint(book, task, now_ns)
    book.move(task, TaskStep.CANCEL, now_ns, reason)
    book.fire(FleetHook.TASK_CANCELLED, task_id=task.spec.task_id, reason=reason)


def revoke(book: Book, task: Task, reason: str, now_ns: int) -> None:
    """Have a worker stop; its slot is freed after a while even if it says nothing."""
    book.actions.append(Revoke(book.lease_of(task), reason))
    book.timers.set("freed", str(task.token), now_ns + seconds(book.limits.grace_s))


def propose(book: Book, event: Proposed, now_ns: int) -> None:
    """Lease what holds of the proposals."""
    for proposal in event.proposals:
        reason = why_no_lease(book, proposal, now_ns)
        if reason:
            book.actions.append(Refused("Proposed", proposal.task_id, reason))
        else:
            task, worker = book.tasks[proposal.task_id], book.workers[proposal.worker_id]
            _lease(book, task, worker, now_ns)


def why_no_lease(book: Book, proposal: Proposal, now_ns: int) -> str:
    """Return why a proposal can't be carried out now, or nothing."""
    task = book.ready.get(proposal.task_id)
    worker = book.workers.get(proposal.worker_id)
    if task is None:
        return "the task is not ready"
    if worker is None or not worker.takes_more:
        return f"worker {proposal.worker_id} takes nothing"
    if not worker.free_slots:
        return f"worker {worker.worker_id} has no free slot"
    needs = task.spec.requirements
    lacking = unmet(needs, worker.worker_id, worker.capabilities)
    if lacking:
        return f"worker {worker.worker_id}: {lacking[0]}"
    if not book.room(worker).has(needs):
        return f"worker {worker.worker_id} has no room for it"
    if not book.breaker(worker.worker_id).allows(now_ns):
        return f"worker {worker.worker_id} is held back after failures"
    endpoint = book.endpoints.get(task.spec.endpoint)
    if endpoint is not None and not endpoint.allows(now_ns):
        return f"endpoint {task.spec.endpoint} is held back after failures"
    return ""


def _lease(book: Book, task: Task, worker: Worker, now_ns: int) -> None:
    task.attempt += 1
    task.token, book.next_token = book.next_token, book.next_token + 1
    task.worker_id, task.leased_ns, task.started_ns = worker.worker_id, now_ns, 0
    task.outcome = None
    worker.holds[task.token] = task.spec.task_id
    book.holders[task.token] = worker.worker_id
    book.breaker(worker.worker_id).used()
    book.timers.set("lease", task.spec.task_id, now_ns + seconds(book.limits.start_s))
    book.move(task, TaskStep.LEASE, now_ns)
    book.save_worker(worker)
    if task.spec.endpoint in book.endpoints:
        book.endpoints[task.spec.endpoint].used()
        book.refresh_endpoint(task.spec.endpoint, now_ns)
    settled(book, task)
    names = {"task_id": task.spec.task_id, "worker_id": worker.worker_id}
    book.fire(FleetHook.TASK_ASSIGNED, **names)
    book.actions.append(Dispatch(book.lease_of(task)))


def started(book: Book, event: AttemptStarted, now_ns: int) -> None:
    """Note that a worker began; its time runs from now."""
    task = book.tasks.get(event.task_id)
    if task is None or task.token != event.token or task.state is not TaskState.LEASED:
        book.actions.append(Refused("AttemptStarted", event.task_id, "that lease does not hold"))
        return
    task.started_ns = now_ns
    book.move(task, TaskStep.START, now_ns)
    end_ns = now_ns + seconds(task.spec.timeout_s + book.limits.grace_s)
    book.timers.set("lease", event.task_id, end_ns)
    breaker = book.breaker(task.worker_id)
    if breaker.trying:  # it began: nothing else has to wait there until it ends, in an hour perhaps
        breaker.released()
        book.actions.append(Reschedule())
    names = {"task_id": event.task_id, "worker_id": task.worker_id}
    book.fire(FleetHook.TASK_STARTED, **names)


def attempt_ended(book: Book, event: AttemptEnded, now_ns: int) -> None:
    """Accept an outcome under the current lease, once; under any other only a slot is freed."""
    worker = book.let_go(event.token)
    task = book.tasks.get(event.task_id)
    if task is None or task.token != event.token or task.state not in TASK_HELD:
        book.actions.append(Refused("AttemptEnded", event.task_id, "that lease does not hold"))
        if worker is not None:
            book.breaker(worker.worker_id).released()
        return
    if worker is not None:
        worker.completed += event.outcome.ending is Ending.SUCCEEDED
        worker.failed += event.outcome.ending is not Ending.SUCCEEDED
    settle_attempt(book, task, event.outcome, now_ns)


def settle_attempt(
    book: Book, task: Task, outcome: Outcome, now_ns: int, *, is_counted: bool = True
) -> None:
    """Draw the consequences of how the current attempt ended; `is_counted` also for its worker."""
    task.outcome = outcome
    book.attempt_over(task, outcome, now_ns)
    if is_counted:
        _tell_worker(book, task, outcome.ending, now_ns)
    _tell_endpoint(book, task, outcome.ending, now_ns)
    name = task.spec.task_id
    if outcome.ending is Ending.SUCCEEDED:
        book.move(task, TaskStep.COMPLETE, now_ns)
        book.fire(FleetHook.TASK_COMPLETED, task_id=name, result=outcome.result)
        ended(book, task, now_ns)
        return
    text = outcome.error or str(outcome.ending)
    book.remember_failure(task, text)
    if outcome.ending is Ending.CANCELLED:
        book.move(task, TaskStep.RETURN, now_ns, text)
    elif outcome.ending in OWN_FAILURES:
        task.tries += 1
        if task.tries > task.spec.retries:
            _fail(book, task, TaskStep.FAIL, text, now_ns)
        else:
            _again(book, task, task.tries, text, now_ns)
    else:
        _lost(book, task, text, now_ns)


def _lost(book: Book, task: Task, text: str, now_ns: int) -> None:
    task.losses += 1
    if len(task.lost_on) >= book.limits.deaths_max:
        workers = ", ".join(task.lost_on)
        _fail(book, task, TaskStep.BURY, f"poison: workers {workers} died under it", now_ns)
    elif task.losses > task.spec.losses_max:
        text = f"lost {task.losses} times, last: {text}"
        _fail(book, task, TaskStep.BURY, text, now_ns)
    else:
        _again(book, task, task.losses, text, now_ns)


def _again(book: Book, task: Task, count: int, text: str, now_ns: int) -> None:
    task.not_before_ns = now_ns + wait_ns(task.spec.backoff, count, task.spec.task_id)
    book.move(task, TaskStep.RETURN, now_ns, text)


def _fail(book: Book, task: Task, step: TaskStep, text: str, now_ns: int) -> None:
    book.move(task, step, now_ns, text)
    book.fire(FleetHook.TASK_FAILED, task_id=task.spec.task_id, error=text)
    ended(book, task, now_ns)


def ended(book: Book, task: Task, now_ns: int) -> None:
    """Let those go on, or end, who waited for a task that has ended."""
    news = [task]
    while news:
        done = news.pop()
        settled(book, done)
        for waiting in book.dependents(done.spec.task_id):
            waiting.waiting_for -= {done.spec.task_id}
            if waiting.state in TASK_ENDS:
                continue
            if done.state is TaskState.COMPLETED:
                book.save(waiting)
                book.refresh(waiting, now_ns)
            else:
                reason = _broken(done)
                _mark_cancelled(book, waiting, reason, now_ns)
                news.append(waiting)


def settled(book: Book, task: Task) -> None:
    """Tell of the recoveries that are over now that a task has a lease or has ended."""
    is_dead = task.state is TaskState.DEAD_LETTER
    for worker_id, names, dead in book.recoveries.settle(task.spec.task_id, is_dead=is_dead):
        if dead:
            error = f"not recovered: {', '.join(dead)}"
            book.fire(FleetHook.RECOVERY_FAILED, worker_id=worker_id, task_ids=names, error=error)
        else:
            book.fire(FleetHook.RECOVERY_COMPLETED, worker_id=worker_id, task_ids=names)


def _tell_worker(book: Book, task: Task, ending: Ending, now_ns: int) -> None:
    worker = book.breaker(task.worker_id)
    if ending in (Ending.LOST, Ending.REFUSED):
        worker.failed(now_ns)
        book.timers.set("worker", task.worker_id, worker.open_until_ns)
    elif ending is Ending.CANCELLED:
        worker.released()
    else:
        worker.succeeded()  # it carried the attempt out, whatever that came to


def _tell_endpoint(book: Book, task: Task, ending: Ending, now_ns: int) -> None:
    endpoint = task.spec.endpoint
    breaker = book.endpoints.get(endpoint)
    if endpoint and ending is Ending.UNREACHABLE:
        if breaker is None:
            breaker = _new_breaker(book, endpoint)
        breaker.failed(now_ns)
    elif breaker is None:
        return
    elif ending is Ending.SUCCEEDED:
        del book.endpoints[endpoint]  # a closed one is none
    else:
        breaker.released()
    book.refresh_endpoint(endpoint, now_ns)


def _new_breaker(book: Book, endpoint: str) -> Breaker:
    """Return an endpoint's breaker; of very many the oldest go that hold nothing back."""
    if len(book.endpoints) >= ENDPOINTS_MAX:
        idle = (n for n, b in book.endpoints.items() if not b.trying and n not in book.held_back)
        for name in list(islice(idle, ENDPOINTS_MAX // 10)):
            del book.endpoints[name]
    return book.endpoints.setdefault(endpoint, Breaker())


def _free_endpoint(book: Book, task: Task, now_ns: int) -> None:
    breaker = book.endpoints.get(task.spec.endpoint)
    if breaker is not None and breaker.trying and task.state in TASK_HELD:
        breaker.released()
        book.refresh_endpoint(task.spec.endpoint, now_ns)
