"""What a task asks for, what a worker has, and what is remembered of both.

Times are Unix nanoseconds of a clock that never steps back while a coordinator lives; memory is in
GB of 10^9 bytes.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.domain.fleet.states import TaskState, WorkerState
from steelyard.kernel.units import NS_PER_S

FAILURES_KEPT = 10
"""Reasons of earlier attempts that a task remembers, the latest ones."""
ERROR_MAX = 4_000
"""Characters that are kept of why an attempt came to nothing; its logs have all of it."""
LONGEST_S = 7e9
"""The longest time that counts, 221 years: from now on, that is within 64 bits of nanoseconds."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a task waits before it is tried again: doubling, bounded, with jitter.

    Attributes:
        first_s: after the first try.
        factor: what each further wait is multiplied by.
        max_s: no wait is longer.
        jitter: share of the wait that is drawn, 0 to 1.
    """

    first_s: float = 1.0
    factor: float = 2.0
    max_s: float = 300.0
    jitter: float = 0.5


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as it was submitted.

    Attributes:
        kind: what carries it out, such as `command`; a plugin of kind `task_kind`.
        payload: what that needs, plain values only.
        priority: higher first.
        deadline_ns: when it should have ended, 0 for never.
        depends_on: tasks that must be completed first.
        retries: further tries after its own work failed.
        losses_max: attempts that may be lost, or refused, before it is a dead letter.
        timeout_s: how long one attempt may run.
        endpoint: what it works against; several failures of one endpoint hold its tasks back.
        idempotency_key: a second task of this user with it is the first one.
        estimate_s: how long its author thinks it takes, 0 for unknown.
        traceparent: the span that submitted it, in the form of W3C's header of that name.
    """

    task_id: str
    kind: str
    payload: dict[str, Any] = {}
    name: str = ""
    user: str = ""
    project: str = ""
    priority: int = 0
    deadline_ns: int = 0
    depends_on: tuple[str, ...] = ()
    requirements: Requirements = Requirements()
    retries: int = 0
    losses_max: int = 3
    backoff: Backoff = Backoff()
    timeout_s: float = 3600.0
    endpoint: str = ""
    idempotency_key: str = ""
    estimate_s: float = 0.0
    submitted_ns: int = 0
    labels: dict[str, str] = {}
    traceparent: str = ""


class Ending(StrEnum):
    """How an attempt ended.

    One that is lost came to no end that anybody saw: its worker died or vanished, its own process
    died under a worker that lives, or it never began. What of these is in its outcome's error.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    UNREACHABLE = "endpoint unreachable"
    REFUSED = "refused by the worker"
    LOST = "lost"
    CANCELLED = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> "Ending | None":
        """Read what earlier ledgers called a lost attempt, whatever it was lost by."""
        return cls.LOST if value == "lost with its worker" else None


OWN_FAILURES = frozenset({Ending.FAILED, Ending.TIMED_OUT, Ending.UNREACHABLE})
"""Endings that count against a task's `retries`; the other failures count against its losses."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt came to.

    Attributes:
        result: of a task that succeeded, plain values.
        error: of one that did not, a sentence.
        exit_code: of its process, None where there was none.
        seconds: how long it ran.
        energy_j: what it used, 0 where nobody measured.
    """

    ending: Ending
    result: Any = None
    error: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    energy_j: float = 0.0


class Task(msgspec.Struct, kw_only=True):
    """A task and how it stands.

    Attributes:
        attempt: how many leases it had.
        token: of its current lease, 0 without one; larger than that of every lease before it.
        tries, losses: attempts that failed by themselves, and that were lost.
        lost_on: the workers that died or vanished under it.
        not_before_ns: it waits until then, after a failure.
        ready_ns: since when it could be leased, were there a worker; it stays when it is leased.
        waiting_for: dependencies that have not ended.
        reason: why it is as it is, a sentence.
    """

    spec: TaskSpec
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    token: int = 0
    worker_id: str = ""
    tries: int = 0
    losses: int = 0
    lost_on: tuple[str, ...] = ()
    not_before_ns: int = 0
    ready_ns: int = 0
    leased_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    waiting_for: frozenset[str] = frozenset()
    reason: str = ""
    failures: tuple[str, ...] = ()
    outcome: Outcome | None = None


class Worker(msgspec.Struct, kw_only=True):
    """A worker and how it stands.

    Attributes:
        slots: how many attempts it runs at once.
        heard_ns: when it last spoke.
        holds: its leases, task ids by token; one that was revoked stays until its attempt ended.
        completed, failed: attempts that ended on it.
    """

    worker_id: str
    capabilities: Capabilities
    slots: int = 1
    state: WorkerState = WorkerState.ALIVE
    draining: bool = False
    heard_ns: int = 0
    registered_ns: int = 0
    holds: dict[int, str] = {}
    completed: int = 0
    failed: int = 0
    reason: str = ""

    @property
    def takes_more(self) -> bool:
        """True when it may be given another lease, room aside."""
        return self.state is WorkerState.ALIVE and not self.draining

    @property
    def free_slots(self) -> int:
        """Slots that no lease holds."""
        return max(self.slots - len(self.holds), 0)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right, of one worker, to carry out one attempt.

    Attributes:
        attempt: 1 for the first.
        token: fences: what comes under an older one is refused.
    """

    task_id: str
    worker_id: str
    attempt: int
    token: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a task, for its history.

    Attributes:
        started_ns: 0 when nobody told of a start.
        ended_ns: 0 while it is under way.
        outcome: None while it is under way.
    """

    task_id: str
    attempt: int
    token: int
    worker_id: str
    leased_ns: int
    started_ns: int = 0
    ended_ns: int = 0
    outcome: Outcome | None = None


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What a scheduler would do, and why."""

    task_id: str
    worker_id: str
    reasons: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When silence means what.

    Attributes:
        heartbeat_s: how often workers speak.
        silent_s: a worker silent for so long is disconnected.
        lost_s: a worker silent for so long has failed; its leases are taken back.
        start_s: a leased attempt must have started by then.
        grace_s: how long after its timeout an attempt's own end is waited for.
        deaths_max: workers that may die under one task before it is quarantined as poison.
    """

    heartbeat_s: float = 2.0
    silent_s: float = 6.0
    lost_s: float = 20.0
    start_s: float = 60.0
    grace_s: float = 10.0
    deaths_max: int = 3


def seconds(value_s: float) -> int:
    """Return seconds as nanoseconds; more than `LONGEST_S`, or what is no number, as that.

    With it a time is one that a ledger can keep, whatever a task's author asked for.
    """
    if not abs(value_s) <= LONGEST_S:
        value_s = -LONGEST_S if value_s < 0 else LONGEST_S
    return int(value_s * NS_PER_S)


def task_data(task: Task) -> Mapping[str, Any]:
    """Return a task as hooks and authors of schedulers see it, plain values."""
    spec = task.spec
    return {
        "task_id": spec.task_id, "type": spec.kind, "name": spec.name or spec.task_id,
        "user": spec.user, "project": spec.project, "priority": spec.priority,
        "deadline": spec.deadline_ns / NS_PER_S if spec.deadline_ns else None,
        "requirements": msgspec.to_builtins(spec.requirements), "labels": dict(spec.labels),
        "payload": dict(spec.payload), "status": str(task.state), "attempt": task.attempt,
    }  # fmt: skip
