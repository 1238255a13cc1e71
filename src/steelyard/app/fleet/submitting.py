"""What is checked before the machine is told of tasks, and what the sender is told.

A task may be submitted again: the same id with the same content, or the same idempotency key of the
same user, is the task that is there already.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from steelyard.app.fleet.trace_context import parse
from steelyard.domain.fleet.events import Refused
from steelyard.domain.fleet.model import Task, TaskSpec
from steelyard.domain.fleet.task_rules import not_there
from steelyard.kernel.ids import make_run_id

SPEC_BYTES_MAX = 1 << 20
"""Bytes of a task as it is kept in the ledger; what is larger belongs into a file."""

Recall = Callable[[set[str], set[tuple[str, str]]], Sequence[Task]]
_INT_MAX = 1 << 62
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+@=-]{0,199}")


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task that was submitted.

    Attributes:
        task_id: its id; of the one that is there already, where it is `known`.
        refusal: why it was not taken, a sentence; empty when it was.
        known: it is there already, by its id and content or by its idempotency key.
        asked: the id it was submitted under, where that is another: of the task that was split
            into several, or that has an idempotency key.
    """

    task_id: str
    refusal: str = ""
    known: bool = False
    asked: str = ""

    @property
    def accepted(self) -> bool:
        """True when the task is there, new or known."""
        return not self.refusal


class Prepared(msgspec.Struct, frozen=True):
    """A task on its way to the machine; `refusal` when it gets no further."""

    spec: TaskSpec
    asked: str
    refusal: str = ""


def named(specs: Sequence[TaskSpec], now_ns: int, entropy: bytes) -> list[TaskSpec]:
    """Return tasks that all have an id and a date; `entropy` is for the ids of those without."""
    stem = make_run_id(now_ns, entropy)
    return [
        msgspec.structs.replace(
            spec, task_id=spec.task_id or f"{stem}-{number}",
            submitted_ns=spec.submitted_ns or now_ns,
        )
        for number, spec in enumerate(specs)
    ]  # fmt: skip


def narrowed(
    prepared: Sequence[Prepared], projects: Collection[str], recall: Recall
) -> list[Prepared]:
    """Return tasks of somebody who is for some projects only: no other's task is depended on.

    Who names one is refused as if there were none. `recall` returns the tasks of some ids.
    """
    names = {name for each in prepared for name in each.spec.depends_on}
    there = recall(names, set()) if names else ()
    unseen = {task.spec.task_id for task in there if task.spec.project not in projects}
    found = []
    for each in prepared:
        hidden = [name for name in each.spec.depends_on if name in unseen]
        is_refused = hidden and not each.refusal
        found.append(Prepared(each.spec, each.asked, not_there(hidden[0])) if is_refused else each)
    return found


def tell(prepared: Sequence[Prepared]) -> tuple[tuple[TaskSpec, ...], dict[int, Submission]]:
    """Return what the machine is told, and by place what is known of the others already."""
    told: dict[str, TaskSpec] = {}
    known: dict[int, Submission] = {}
    for place, (spec, asked, refusal) in enumerate(
        (each.spec, each.asked, each.refusal) for each in prepared
    ):
        if refusal:
            known[place] = _submission(spec.task_id, asked, refusal=refusal)
        elif spec.task_id not in told:
            told[spec.task_id] = spec
        elif is_same(told[spec.task_id], spec):
            known[place] = _submission(spec.task_id, asked, known=True)
        else:
            known[place] = _submission(spec.task_id, asked, refusal="its id comes twice")
    return tuple(told.values()), known


def answers(
    prepared: Sequence[Prepared],
    known: Mapping[int, Submission],
    refused: Sequence[Refused],
    there: Sequence[Task],
) -> list[Submission]:
    """Return what became of each of the tasks that `tell` took, which returned `known`.

    `refused` they were by the machine; `there` are the tasks with their ids and idempotency keys.
    """
    reasons = {each.task_id: each.reason for each in refused}
    by_id = {task.spec.task_id: task.spec for task in there}
    by_key = {(task.spec.user, task.spec.idempotency_key): task.spec for task in there}
    found: list[Submission] = []
    for place, each in enumerate(prepared):
        spec, reason = each.spec, reasons.get(each.spec.task_id, "")
        if place in known:
            found.append(known[place])
        elif not reason:
            found.append(_submission(spec.task_id, each.asked))
        elif spec.task_id in by_id and is_same(by_id[spec.task_id], spec):
            found.append(_submission(spec.task_id, each.asked, known=True))
        elif spec.idempotency_key and (spec.user, spec.idempotency_key) in by_key:
            first = by_key[spec.user, spec.idempotency_key]
            found.append(_submission(first.task_id, each.asked, known=True))
        else:
            found.append(_submission(spec.task_id, each.asked, refusal=reason))
    return found


def is_same(one: TaskSpec, other: TaskSpec) -> bool:
    """Tell whether two specs ask for the same, whenever and in whichever trace."""
    return _undated(one) == _undated(other)


def _undated(spec: TaskSpec) -> bytes:
    bare = msgspec.structs.replace(spec, submitted_ns=0, traceparent="")
    return msgspec.msgpack.encode(bare, order="sorted")


def _submission(task_id: str, asked: str, *, refusal: str = "", known: bool = False) -> Submission:
    asked = "" if asked == task_id else asked
    return Submission(task_id=task_id, refusal=refusal, known=known, asked=asked)


def why_not(spec: TaskSpec) -> str:
    """Return why a task can't be kept as it is, or nothing."""
    if not _ID.fullmatch(spec.task_id):
        return (
            "its id must be 1 to 200 of the characters A-Z a-z 0-9 . _ : / + @ = -, a letter or"
            " digit first"
        )
    bounds = {
        "timeout_s": spec.timeout_s > 0, "retries": spec.retries >= 0,
        "losses_max": spec.losses_max >= 0, "estimate_s": spec.estimate_s >= 0,
        "deadline_ns": 0 <= spec.deadline_ns < _INT_MAX, "priority": abs(spec.priority) < _INT_MAX,
        "submitted_ns": 0 <= spec.submitted_ns < _INT_MAX,
    }  # fmt: skip
    if spec.traceparent and parse(spec.traceparent) is None:
        return f"its traceparent can't be {spec.traceparent[:100]!r}"
    wrong = [name for name, holds in bounds.items() if not holds]
    if wrong:
        return f"its {wrong[0]} can't be {getattr(spec, wrong[0])!r}"
    try:
        size = len(msgspec.msgpack.encode(spec))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return f"its content is not plain values: {error}"
    if size > SPEC_BYTES_MAX:
        return f"it has {size} bytes; at most {SPEC_BYTES_MAX}: put the rest into a file"
    return ""
