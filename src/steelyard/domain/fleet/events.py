"""What the fleet's machine is told, and what it wants done."""

from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Attempt, Lease, Outcome, Proposal, TaskSpec
from steelyard.domain.fleet.requirements import Capabilities


class Submitted(msgspec.Struct, frozen=True):
    """Tasks came; their dependencies are among them or known."""

    specs: tuple[TaskSpec, ...]


class CancelAsked(msgspec.Struct, frozen=True):
    """Somebody wants a task to end."""

    task_id: str
    reason: str = "cancelled on request"


class WorkerRegistered(msgspec.Struct, frozen=True):
    """A worker came, or came back: it holds nothing of what it held before."""

    worker_id: str
    capabilities: Capabilities
    slots: int = 1


class WorkerHeard(msgspec.Struct, frozen=True):
    """A worker spoke; `tokens` are the leases it works on."""

    worker_id: str
    tokens: tuple[int, ...] = ()


class WorkerLeft(msgspec.Struct, frozen=True):
    """A worker said goodbye; what it held goes back without blame."""

    worker_id: str
    reason: str = "it left"


class WorkerDied(msgspec.Struct, frozen=True):
    """An engine knows that a worker is dead."""

    worker_id: str
    reason: str


class DrainAsked(msgspec.Struct, frozen=True):
    """A worker is to finish what it has and take nothing more; `on` False takes that back."""

    worker_id: str
    on: bool = True


class WorkersOutlived(msgspec.Struct, frozen=True):
    """Workers that died or left, hold nothing and last spoke before this are to be forgotten."""

    before_ns: int


class AttemptStarted(msgspec.Struct, frozen=True):
    """A worker began with an attempt."""

    task_id: str
    token: int


class AttemptEnded(msgspec.Struct, frozen=True):
    """An attempt ended."""

    task_id: str
    token: int
    outcome: Outcome


class Proposed(msgspec.Struct, frozen=True):
    """A scheduler proposes leases; each is checked against what holds now."""

    proposals: tuple[Proposal, ...]


class Ticked(msgspec.Struct, frozen=True):
    """Time went by; `WakeAt` says when this is wanted."""


WorkerEvent = (
    WorkerRegistered | WorkerHeard | WorkerLeft | WorkerDied | DrainAsked | WorkersOutlived
)  # fmt: skip
Event = (
    Submitted | CancelAsked | WorkerEvent | AttemptStarted | AttemptEnded | Proposed | Ticked
)  # fmt: skip


class SaveTask(msgspec.Struct, frozen=True):
    """The ledger is to have this task as it is now, before anything after it is done."""

    task_id: str


class SaveWorker(msgspec.Struct, frozen=True):
    """The ledger is to have this worker as it is now."""

    worker_id: str


class ForgetWorker(msgspec.Struct, frozen=True):
    """The ledger is to have this worker no more."""

    worker_id: str


class AttemptOver(msgspec.Struct, frozen=True):
    """The ledger is to have this attempt among those that are over."""

    attempt: Attempt


class Dispatch(msgspec.Struct, frozen=True):
    """An engine is to carry out an attempt."""

    lease: Lease


class Revoke(msgspec.Struct, frozen=True):
    """A worker is to stop an attempt; what it says of it later is refused."""

    lease: Lease
    reason: str


class Fire(msgspec.Struct, frozen=True):
    """Plugins are to hear of something; `arguments` as `HOOK_ARGUMENTS` documents them."""

    hook: FleetHook
    arguments: Mapping[str, Any]


class Refused(msgspec.Struct, frozen=True):
    """What was told does not hold, or no longer; nothing changed."""

    event: str
    task_id: str
    reason: str


class Reschedule(msgspec.Struct, frozen=True):
    """The queue or the workers changed: a scheduler may have something to propose."""


class WakeAt(msgspec.Struct, frozen=True):
    """`Ticked` is wanted at this time, and not needed before."""

    at_ns: int


Action = (
    SaveTask | SaveWorker | ForgetWorker | AttemptOver | Dispatch | Revoke | Fire | Refused
    | Reschedule | WakeAt
)  # fmt: skip
