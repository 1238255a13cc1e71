"""Between the structs of the fleet and the rows of a ledger."""

from typing import Any

import msgspec

from steelyard.domain.fleet.model import Attempt, Outcome, Task, TaskSpec, Worker
from steelyard.domain.fleet.states import TaskState
from steelyard.runtime.fleet.ports import Decision, Happened

_INT_MAX = 2**63 - 1
_PACKED_INT_MAX = 2**64 - 1
_packer = msgspec.msgpack.Encoder(enc_hook=repr)
TASK_DECODER = msgspec.msgpack.Decoder(Task)
WORKER_DECODER = msgspec.msgpack.Decoder(Worker)
ATTEMPT_DECODER = msgspec.msgpack.Decoder(Attempt)
DECISION_DECODER = msgspec.msgpack.Decoder(Decision)
ARGUMENTS_DECODER = msgspec.msgpack.Decoder(dict[str, Any])


class _Known(msgspec.Struct):
    """What of a task a scheduler's past is made of; the rest is skipped where it is packed."""

    spec: TaskSpec
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    ready_ns: int = 0


_KNOWN_DECODER = msgspec.msgpack.Decoder(_Known)


def known_task(data: bytes) -> Task:
    """Return a task without its payload and result."""
    known = _KNOWN_DECODER.decode(data)
    spec = msgspec.structs.replace(known.spec, payload={})
    return Task(spec=spec, state=known.state, attempt=known.attempt, ready_ns=known.ready_ns)


def packed(value: object) -> bytes:
    """Return a struct or plain values as MessagePack.

    A result is whatever a task returned. What MessagePack has no form for becomes text: an odd
    result must not stop a coordinator.
    """
    try:
        return _packer.encode(value)
    except (OverflowError, ValueError):
        return _packer.encode(_plain(msgspec.to_builtins(value, enc_hook=repr)))


def _plain(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return value if -_INT_MAX <= value <= _PACKED_INT_MAX else str(value)
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_plain(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def column(value: str) -> str:
    """Return text as every database takes it, to be kept or looked for; `data` has it as it is."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def whole(value: int) -> int:
    """Return the nearest number that a column holds."""
    return max(-_INT_MAX, min(value, _INT_MAX))


def task_row(task: Task, now_ns: int) -> dict[str, Any]:
    """Return the row of a task; one that nobody dated was submitted now."""
    spec = task.spec
    return {
        "task_id": column(spec.task_id), "state": str(task.state),
        "user_name": column(spec.user), "project": column(spec.project),
        "kind": column(spec.kind), "priority": whole(spec.priority),
        "submitted_ns": whole(spec.submitted_ns or now_ns), "ended_ns": task.ended_ns,
        "idempotency_key": column(spec.idempotency_key), "worker_id": column(task.worker_id),
        "data": packed(task),
    }  # fmt: skip


def worker_row(worker: Worker) -> dict[str, Any]:
    """Return the row of a worker."""
    return {
        "worker_id": column(worker.worker_id), "state": str(worker.state),
        "heard_ns": worker.heard_ns, "data": packed(worker),
    }  # fmt: skip


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """Return the row of an attempt that is over; a result is kept with its task only."""
    outcome = attempt.outcome
    if outcome is not None and outcome.result is not None:
        kept: Outcome = msgspec.structs.replace(outcome, result=None)
        attempt = msgspec.structs.replace(attempt, outcome=kept)
    return {
        "task_id": column(attempt.task_id), "attempt": attempt.attempt,
        "worker_id": column(attempt.worker_id), "ended_ns": attempt.ended_ns,
        "ending": str(outcome.ending) if outcome is not None else "", "data": packed(attempt),
    }  # fmt: skip


def decision_row(decision: Decision) -> dict[str, Any]:
    """Return the row of a scheduler's decision."""
    return {
        "at_ns": decision.at_ns, "task_id": column(decision.task_id), "data": packed(decision),
    }  # fmt: skip


def event_row(event: Happened) -> dict[str, Any]:
    """Return the row of an event, not yet published."""
    return {
        "at_ns": event.at_ns, "name": column(event.name),
        "task_id": column(str(event.arguments.get("task_id", ""))),
        "data": packed(event.arguments), "published": 0,
    }  # fmt: skip
