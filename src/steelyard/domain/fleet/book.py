"""Who is where: the tasks and workers of a fleet, and what follows from each for the others."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from steelyard.domain.fleet.events import (
    Action,
    AttemptOver,
    Fire,
    Reschedule,
    SaveTask,
    SaveWorker,
)
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import (
    FAILURES_KEPT,
    Attempt,
    Lease,
    Limits,
    Outcome,
    Task,
    Worker,
)
from steelyard.domain.fleet.recovery import Recoveries
from steelyard.domain.fleet.requirements import Room
from steelyard.domain.fleet.retry import Breaker
from steelyard.domain.fleet.states import (
    TASK_ENDS,
    TASK_HELD,
    TaskState,
    TaskStep,
    WorkerStep,
    task_after,
    worker_after,
)
from steelyard.domain.fleet.timers import Timers


class Book:
    """The state that the rules of tasks and workers share.

    Attributes:
        tasks, workers: by id; of the tasks that have ended, those that are not forgotten yet.
        ready: tasks that could be leased now, were there a worker; in the order of readiness.
        ready_changes: tasks that became ready, or no longer are, since somebody last took this.
        waiting_on: tasks by the dependency they wait for.
        keys: task ids by user and idempotency key.
        holders: worker ids by token, until the attempt is known to have ended.
        next_token: of the next lease.
        endpoints, breakers: breakers by endpoint and by worker.
        held_back: tasks by the endpoint whose breaker holds them back.
        absent: tokens that their workers did not name when they last spoke.
        over: tasks that have ended and may be forgotten.
        ended: how many ended in each state, the forgotten ones too.
        actions: what is wanted so far.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.tasks: dict[str, Task] = {}
        self.workers: dict[str, Worker] = {}
        self.ready: dict[str, Task] = {}
        self.ready_changes: dict[str, None] = {}
        self.waiting_on: dict[str, set[str]] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.holders: dict[int, str] = {}
        self.next_token = 1
        self.endpoints: dict[str, Breaker] = {}
        self.held_back: dict[str, set[str]] = {}
        self.breakers: dict[str, Breaker] = {}
        self.absent: set[int] = set()
        self.over: dict[str, None] = {}
        self.ended: Counter[TaskState] = Counter()
        self.recoveries = Recoveries()
        self.timers = Timers()
        self.actions: list[Action] = []

    # What is wanted

    def fire(self, hook: FleetHook, **arguments: Any) -> None:
        """Have plugins told."""
        self.actions.append(Fire(hook, arguments))

    def save(self, task: Task) -> None:
        """Have the ledger remember a task."""
        self.actions.append(SaveTask(task.spec.task_id))

    def save_worker(self, worker: Worker) -> None:
        """Have the ledger remember a worker; what it can take may have changed."""
        self.actions += (SaveWorker(worker.worker_id), Reschedule())

    # Tasks

    def add(self, task: Task, now_ns: int) -> None:
        """Take up a task as it is, new or from the ledger."""
        spec = task.spec
        self.tasks[spec.task_id] = task
        if spec.idempotency_key:
            self.keys[spec.user, spec.idempotency_key] = spec.task_id
        if task.state is TaskState.PENDING:
            for dependency in task.waiting_for:
                self.waiting_on.setdefault(dependency, set()).add(spec.task_id)
            self.refresh(task, now_ns)
        elif task.state in TASK_ENDS:
            self.over[spec.task_id] = None

    def move(self, task: Task, step: TaskStep, now_ns: int, reason: str = "") -> None:
        """Take a task one step on, and what follows from its new state."""
        task.state = task_after(task.state, step)
        task.reason = reason
        name = task.spec.task_id
        if task.state not in TASK_HELD:
            task.token, task.worker_id = 0, ""
            self.timers.drop("lease", name)
        if step is TaskStep.RETURN:
            task.ready_ns = 0
        if task.state in TASK_ENDS:
            task.ended_ns = now_ns
            self.over[name] = None
            self.ended[task.state] += 1
        self.save(task)
        self.refresh(task, now_ns)

    def refresh(self, task: Task, now_ns: int) -> None:
        """Put a task among the ready ones, or take it away from them."""
        name = task.spec.task_id
        if self._is_ready(task, now_ns):
            if name not in self.ready:
                self.ready[name] = task
                self.ready_changes[name] = None
                task.ready_ns = task.ready_ns or now_ns
                self.actions.append(Reschedule())
        elif self.ready.pop(name, None) is not None:
            self.ready_changes[name] = None

    def _is_ready(self, task: Task, now_ns: int) -> bool:
        if task.state is not TaskState.PENDING or task.waiting_for:
            return False
        name, endpoint = task.spec.task_id, task.spec.endpoint
        if task.not_before_ns > now_ns:
            self.timers.set("retry", name, task.not_before_ns)
            return False
        breaker = self.endpoints.get(endpoint) if endpoint else None
        if breaker is not None and not breaker.allows(now_ns):
            self.held_back.setdefault(endpoint, set()).add(name)
            if not breaker.trying:
                self.timers.set("endpoint", endpoint, breaker.open_until_ns)
            return False
        return True

    def refresh_endpoint(self, endpoint: str, now_ns: int) -> None:
        """Look again at the tasks that an endpoint's breaker holds back, or could."""
        names = self.held_back.pop(endpoint, set())
        names |= {name for name, task in self.ready.items() if task.spec.endpoint == endpoint}
        for name in sorted(names):
            self.refresh(self.tasks[name], now_ns)

    def remember_failure(self, task: Task, text: str) -> None:
        """Keep why an attempt came to nothing."""
        task.failures = (*task.failures, f"attempt {task.attempt}: {text}")[-FAILURES_KEPT:]

    def attempt_over(self, task: Task, outcome: Outcome, now_ns: int) -> None:
        """Have the ledger keep the current attempt in the history of a task."""
        attempt = Attempt(
            task_id=task.spec.task_id, attempt=task.attempt, token=task.token,
            worker_id=task.worker_id, leased_ns=task.leased_ns, started_ns=task.started_ns,
            ended_ns=now_ns, outcome=outcome,
        )  # fmt: skip
        self.actions.append(AttemptOver(attempt))

    def lease_of(self, task: Task) -> Lease:
        """Return the lease that holds a task."""
        return Lease(
            task_id=task.spec.task_id,
            worker_id=task.worker_id,
            attempt=task.attempt,
            token=task.token,
        )

    def dependents(self, task_id: str) -> Iterable[Task]:
        """Yield, and forget, who waits for a task."""
        for name in sorted(self.waiting_on.pop(task_id, ())):
            yield self.tasks[name]

    def forget(self) -> tuple[str, ...]:
        """Let go of the tasks that have ended and that no worker holds; return their ids."""
        if not self.over:
            return ()
        held = {name for worker in self.workers.values() for name in worker.holds.values()}
        names = tuple(name for name in self.over if name not in held)
        for name in names:
            self._forget(self.tasks.pop(name))
            del self.over[name]
        return names

    def _forget(self, task: Task) -> None:
        """Take a task out of all that names it; one that ended while it waited is named still."""
        spec = task.spec
        name = spec.task_id
        for dependency in task.waiting_for:
            _leave(self.waiting_on, dependency, name)
        _leave(self.held_back, spec.endpoint, name)
        if self.keys.get((spec.user, spec.idempotency_key)) == name:
            del self.keys[spec.user, spec.idempotency_key]
        self.timers.drop("retry", name)
        self.timers.drop("lease", name)

    # Workers

    def move_worker(self, worker: Worker, step: WorkerStep, reason: str = "") -> None:
        """Take a worker one step on."""
        worker.state = worker_after(worker.state, step)
        worker.reason = reason
        self.save_worker(worker)

    def room(self, worker: Worker) -> Room:
        """Return what of a worker no lease holds."""
        room = Room.of(worker.capabilities)
        for task_id in worker.holds.values():
            room.take(self.tasks[task_id].spec.requirements)
        return room

    def breaker(self, worker_id: str) -> Breaker:
        """Return a worker's breaker."""
        return self.breakers.setdefault(worker_id, Breaker())

    def let_go(self, token: int) -> Worker | None:
        """Free the slot that a lease held; None when it was free before."""
        worker_id = self.holders.pop(token, None)
        if worker_id is None:
            return None
        worker = self.workers[worker_id]
        worker.holds.pop(token, None)
        self.absent.discard(token)
        self.timers.drop("freed", str(token))
        self.save_worker(worker)
        return worker


def _leave(groups: dict[str, set[str]], key: str, name: str) -> None:
    members = groups.get(key)
    if members is not None:
        members.discard(name)
        if not members:
            del groups[key]
