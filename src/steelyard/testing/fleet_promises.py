"""What a fleet promises, checked on all that it saves, sends and tells."""

from collections.abc import Iterable

from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.events import Fire
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Lease, Task, Worker
from steelyard.domain.fleet.states import TASK_ENDS, TaskState

_ENDS = {
    FleetHook.TASK_COMPLETED: {TaskState.COMPLETED},
    FleetHook.TASK_FAILED: {TaskState.FAILED, TaskState.DEAD_LETTER},
    FleetHook.TASK_CANCELLED: {TaskState.CANCELLED},
}


class BrokenPromiseError(AssertionError):
    """What a fleet promises did not hold."""


class Promises:
    """Tokens only grow, ends are final and told once, no result is accepted under an old token.

    Results are the tokens under which they came.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._ends: dict[str, TaskState] = {}
        self._told: dict[str, FleetHook] = {}

    def sent(self, lease: Lease) -> None:
        """Note a lease that goes to a worker."""
        last = self._newest.get(lease.task_id, 0)
        _hold(lease.token > last, f"{lease.task_id}: token {lease.token} after {last}")
        self._newest[lease.task_id] = lease.token

    def saved(self, task: Task) -> None:
        """Note a task that goes to the ledger."""
        name = task.spec.task_id
        end = self._ends.get(name, task.state)
        _hold(end is task.state, f"{name} was {end} and became {task.state}")
        if task.state not in TASK_ENDS or name in self._ends:
            return
        self._ends[name] = task.state
        if task.state is TaskState.COMPLETED:
            token = task.outcome.result if task.outcome is not None else None
            newest = self._newest.get(name)
            _hold(token == newest, f"{name} took the result of token {token}, not of {newest}")

    def saved_worker(self, worker: Worker) -> None:
        """Note a worker that goes to the ledger."""
        held = len(worker.holds)
        _hold(held <= worker.slots, f"{worker.worker_id} holds {held} of {worker.slots} slots")

    def heard(self, action: Fire) -> None:
        """Note what plugins are told."""
        if action.hook in _ENDS:
            name = action.arguments["task_id"]
            first = self._told.setdefault(name, action.hook)
            _hold(first is action.hook, f"{name} ended twice: {first}, then {action.hook}")
            _hold(name in self._ends, f"{name}: {action.hook} was told before it was saved")

    def has_ended(self, submitted: Iterable[str]) -> bool:
        """Tell whether all of these were saved as ended."""
        return all(name in self._ends for name in submitted)

    def forgot(self, book: Book) -> None:
        """Check, once all has ended, that a coordinator remembers what a worker holds, no more."""
        held = {name for worker in book.workers.values() for name in worker.holds.values()}
        for what, names in {
            "the tasks": book.tasks, "the ready ones": book.ready, "the keys": book.keys.values(),
            "who is waited for": book.waiting_on,
            "who waits": set().union(*book.waiting_on.values()),
            "who is held back": set().union(*book.held_back.values()),
            "a retry": book.timers.names("retry"), "a lease": book.timers.names("lease"),
        }.items():  # fmt: skip
            left = sorted(set(names) - held)
            _hold(not left, f"{what}: {', '.join(left)} of which nothing is left to do")

    def ended(self, tasks: dict[str, Task], submitted: Iterable[str]) -> None:
        """Check, once all is calm, that every task came to an end, the one that was told."""
        for name in sorted(submitted):
            _hold(name in tasks, f"{name} is lost")
            task = tasks[name]
            _hold(task.state in TASK_ENDS, f"{name} is {task.state} for ever: {task.reason}")
            hook = self._told.get(name)
            agrees = hook is None or task.state in _ENDS[hook]
            _hold(agrees, f"{name} is {task.state}, and plugins were told {hook}")


def _hold(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise BrokenPromiseError(message)
