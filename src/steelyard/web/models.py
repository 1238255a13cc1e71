"""What clients send: its shape and bounds. What the service answers are the fleet's own models."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta

from steelyard.app.fleet.trace_context import parse
from steelyard.domain.fleet.access import AccessKey, Permission, Role
from steelyard.domain.fleet.model import Backoff, TaskSpec, seconds
from steelyard.domain.fleet.requirements import Requirements
from steelyard.kernel.errors import ConfigError
from steelyard.web.body_problems import problem_of
from steelyard.web.problems import RequestError

TASKS_MAX = 5_000
DEPTH_MAX = 32
INTEGER_MAX = 2**63 - 1
AMOUNT_MAX = 1e9
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"

_TEXT = r"^[^\x00-\x1f\x7f]*$"
TaskId = Annotated[str, Meta(pattern=ID_PATTERN)]
Word = Annotated[str, Meta(max_length=200, pattern=_TEXT)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_TEXT)]
TRACEPARENT_PATTERN = r"^$|^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"
Labels = Annotated[dict[Word, Word], Meta(max_length=64)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
T = TypeVar("T", bound=msgspec.Struct)


class TaskIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as a client submits it.

    Attributes:
        kind: what carries it out, such as `command`.
        payload: what that needs.
        task_id: its id; drawn where it is empty.
        depends_on: ids of tasks, or names of others in the same request.
        deadline_s: seconds from now on by which it should have ended, 0 for never.
        user: whom it is booked to; only admins may name another than themselves.
        traceparent: the span that it belongs to, as W3C's header of that name says it; that of the
            request where it is empty.
    """

    kind: Name
    payload: dict[str, Any] = {}
    task_id: TaskId | None = None
    name: Word = ""
    user: Word = ""
    project: Word = ""
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    deadline_s: Seconds = 0.0
    depends_on: Annotated[tuple[Name, ...], Meta(max_length=1_000)] = ()
    requirements: Requirements = Requirements()
    retries: Annotated[int, Meta(ge=0, le=1_000)] = 0
    losses_max: Annotated[int, Meta(ge=0, le=1_000)] = 3
    backoff: Backoff = Backoff()
    timeout_s: Annotated[float, Meta(gt=0, le=1e7)] = 3600.0
    endpoint: Word = ""
    idempotency_key: Word = ""
    estimate_s: Seconds = 0.0
    labels: Labels = {}
    traceparent: Annotated[str, Meta(pattern=TRACEPARENT_PATTERN)] = ""


class TasksIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tasks that are taken up together; dependencies may be among them."""

    tasks: Annotated[tuple[TaskIn, ...], Meta(min_length=1, max_length=TASKS_MAX)]


class CancelIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a task is to end."""

    reason: Word = ""


class DrainIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a worker is to take nothing more."""

    on: bool = True


class SchedulerIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which scheduler is to go on, and its options."""

    name: Name
    options: dict[str, Any] = {}


class TidyIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether what is kept no longer is only counted."""

    dry_run: bool = False


class KeyIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key that is to be made; see `AccessKey`."""

    name: Name
    role: Role
    user: Word = ""
    scopes: Annotated[tuple[Permission, ...], Meta(max_length=64)] = ()
    projects: Annotated[tuple[Name, ...], Meta(max_length=1_000)] = ()
    days: Annotated[float, Meta(ge=0, le=36_500)] = 0.0


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and its token: the only time that it is shown."""

    key: AccessKey
    token: str


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what an attempt wrote.

    Attributes:
        attempt: whose it is; 0 as long as there was none.
        text: in UTF-8; what is not is replaced.
        next_offset: bytes; where the next part begins.
        ended: the attempt is over, or there will be none; what is not in `text` may be left.
        attempts: how many there were.
        task_ended: there will be no further attempt.
    """

    task_id: str
    attempt: int
    stream: str
    text: str
    next_offset: int
    ended: bool
    attempts: int
    task_ended: bool


async def body_of(request: Request, model: type[T]) -> T:
    """Return the JSON body of a request as a model.

    Raises:
        RequestError: 422, it is not one; the message names the field.
    """
    body = await request.body()
    try:
        found = msgspec.json.decode(body or b"{}", type=model)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise problem_of(error, model) from None
    check_plain(found, "")
    for number, task in enumerate(getattr(found, "tasks", ())):
        _check_numbers(task.requirements, f"tasks[{number}].requirements")
        _check_numbers(task.backoff, f"tasks[{number}].backoff")
    return found


def _check_numbers(part: msgspec.Struct, where: str) -> None:
    """No amount is negative, and none so large that time or room would overflow."""
    for field in part.__struct_fields__:
        value = getattr(part, field)
        if isinstance(value, int | float) and not 0 <= value <= AMOUNT_MAX:
            expected = f"a number from 0 to {AMOUNT_MAX:g}"
            raise RequestError(422, f"{where}.{field} can't be used", got=value, expected=expected)


def check_plain(value: Any, where: str, depth: int = 0) -> None:
    """Have a value be one that every ledger can keep.

    Raises:
        RequestError: 422, it is nested too deeply, has a number of more than 64 bits, or a NUL.
    """
    problem = ""
    if depth > DEPTH_MAX:
        problem = f"is nested more than {DEPTH_MAX} deep"
    elif isinstance(value, int) and abs(value) > INTEGER_MAX:
        problem = "has a number of more than 64 bits"
    elif isinstance(value, float) and value - value != 0:
        problem = "has a number that is not finite"
    elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        problem = "has a text with a character that can't be kept"
    if problem:
        raise RequestError(422, f"{where or 'The body'} {problem}")
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            check_plain(getattr(value, name), f"{where}.{name}" if where else name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_plain(key, where, depth + 1)
            check_plain(item, where, depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            check_plain(item, where, depth + 1)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def specs_of(
    tasks: Sequence[TaskIn], key: AccessKey, now_ns: int, traceparent: str = ""
) -> tuple[TaskSpec, ...]:
    """Return the tasks of a submission as the fleet takes them.

    `traceparent` is that of the request, for tasks that have none of their own; one that is none is
    left out, as the standard says.

    Raises:
        RequestError: 403, they are of a project or a user that the key may not submit for.
        ConfigError: two tasks that others depend on share a name.
    """
    ids = [task.task_id or f"t-{secrets.token_hex(8)}" for task in tasks]
    by_name: dict[str, list[str]] = {}
    for task, task_id in zip(tasks, ids, strict=True):
        by_name.setdefault(task.name or task_id, []).append(task_id)
    context = parse(traceparent)
    trace = context.header if context is not None else ""
    known, problems, specs = set(ids), [], []
    for task, task_id in zip(tasks, ids, strict=True):
        project = task.project or (key.projects[0] if key.projects else "")
        _check_owner(task, project, key)
        depends_on = []
        for name in task.depends_on:
            found = [name] if name in known else by_name.get(name, [name])
            if len(found) > 1:
                problems.append(f"{name}: {len(found)} tasks have this name")
            depends_on.append(found[0])
        rest = {n: getattr(task, n) for n in task.__struct_fields__ if n in _SAME}
        specs.append(
            TaskSpec(
                task_id=task_id, project=project, user=task.user or key.user,
                depends_on=tuple(dict.fromkeys(depends_on)), submitted_ns=now_ns,
                deadline_ns=now_ns + seconds(task.deadline_s) if task.deadline_s else 0,
                traceparent=task.traceparent or trace, **rest,
            )
        )  # fmt: skip
    if problems:
        raise ConfigError("Dependencies are ambiguous", sorted(set(problems)))
    return tuple(specs)


_SAME = frozenset({
    "kind", "payload", "name", "priority", "requirements", "retries", "losses_max", "backoff",
    "timeout_s", "endpoint", "idempotency_key", "estimate_s", "labels",
})  # fmt: skip


def _check_owner(task: TaskIn, project: str, key: AccessKey) -> None:
    if not key.sees(project):
        expected = ", ".join(key.projects)
        raise RequestError(403, "Your key is not for this project", got=project, expected=expected)
    if task.user and task.user != key.user and key.role is not Role.ADMIN:
        raise RequestError(
            403, "Only an admin submits for somebody else", got=task.user, expected=key.user
        )
