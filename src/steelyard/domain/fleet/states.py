"""The states of tasks and workers, and the only steps between them."""

from enum import StrEnum

from steelyard.kernel.errors import SteelyardError


class TaskState(StrEnum):
    """Where a task stands.

    `failed`: its own work failed, after the retries it asked for. `dead-letter`: it could not be
    carried out, and its reason says why.
    """

    PENDING = "pending"
    LEASED = "leased"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead-letter"


class TaskStep(StrEnum):
    """What can happen to a task."""

    LEASE = "lease"
    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    RETURN = "return"
    CANCEL = "cancel"
    BURY = "bury"


class WorkerState(StrEnum):
    """Where a worker stands.

    `disconnected`: silent for a while; it keeps its leases and gets no more. `failed`: dead, or
    silent for so long that its leases were taken back. `gone`: it said goodbye.
    """

    ALIVE = "alive"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    GONE = "gone"


class WorkerStep(StrEnum):
    """What can happen to a worker."""

    HEAR = "hear"
    MISS = "miss"
    FAIL = "fail"
    LEAVE = "leave"


TASK_ENDS = frozenset({
    TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.DEAD_LETTER,
})  # fmt: skip
TASK_HELD = frozenset({TaskState.LEASED, TaskState.RUNNING})
"""States in which a worker holds a lease on the task."""

_FROM_HELD = {
    # A start may be told late or never: a lease ends in every way that a running attempt does.
    TaskStep.COMPLETE: TaskState.COMPLETED,
    TaskStep.FAIL: TaskState.FAILED,
    TaskStep.RETURN: TaskState.PENDING,
    TaskStep.CANCEL: TaskState.CANCELLED,
    TaskStep.BURY: TaskState.DEAD_LETTER,
}
TASK_TABLE: dict[tuple[TaskState, TaskStep], TaskState] = {
    (TaskState.PENDING, TaskStep.LEASE): TaskState.LEASED,
    (TaskState.PENDING, TaskStep.CANCEL): TaskState.CANCELLED,
    (TaskState.PENDING, TaskStep.BURY): TaskState.DEAD_LETTER,
    (TaskState.LEASED, TaskStep.START): TaskState.RUNNING,
    **{(state, step): to for state in TASK_HELD for step, to in _FROM_HELD.items()},
}
WORKER_TABLE: dict[tuple[WorkerState, WorkerStep], WorkerState] = {
    (WorkerState.ALIVE, WorkerStep.MISS): WorkerState.DISCONNECTED,
    (WorkerState.ALIVE, WorkerStep.FAIL): WorkerState.FAILED,
    (WorkerState.ALIVE, WorkerStep.LEAVE): WorkerState.GONE,
    (WorkerState.DISCONNECTED, WorkerStep.HEAR): WorkerState.ALIVE,
    (WorkerState.DISCONNECTED, WorkerStep.FAIL): WorkerState.FAILED,
    (WorkerState.DISCONNECTED, WorkerStep.LEAVE): WorkerState.GONE,
    (WorkerState.FAILED, WorkerStep.HEAR): WorkerState.ALIVE,
    (WorkerState.FAILED, WorkerStep.LEAVE): WorkerState.GONE,
    (WorkerState.GONE, WorkerStep.HEAR): WorkerState.ALIVE,
}


class FleetStateError(SteelyardError):
    """A step that the table does not have: a bug of ours, never a user's mistake."""


def task_after(state: TaskState, step: TaskStep) -> TaskState:
    """Return the state after `step`.

    Raises:
        FleetStateError: there is no such step from `state`.
    """
    try:
        return TASK_TABLE[state, step]
    except KeyError:
        message = f"A task that is {state} can't {step}"
        raise FleetStateError(message) from None


def worker_after(state: WorkerState, step: WorkerStep) -> WorkerState:
    """Return the state after `step`.

    Raises:
        FleetStateError: there is no such step from `state`.
    """
    try:
        return WORKER_TABLE[state, step]
    except KeyError:
        message = f"A worker that is {state} can't {step}"
        raise FleetStateError(message) from None
