"""/v1/tasks: submit, list, look at, cancel; why one waits, what it wrote, what was decided."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query, Request, Response

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.errors import UnknownTaskError
from steelyard.app.fleet.replaying import RECORDED_MAX, recording_of
from steelyard.domain.fleet.access import AccessKey, Permission
from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.states import TASK_ENDS, TaskState
from steelyard.runtime.fleet.attempt_logs import read_log
from steelyard.runtime.fleet.ledger_queries import TaskFilter
from steelyard.web.answers import json_of
from steelyard.web.models import INTEGER_MAX, CancelIn, Logs, TasksIn, body_of, specs_of
from steelyard.web.parts import Given, Key
from steelyard.web.problems import RequestError
from steelyard.web.routes import TEXT, Word, allows, listed, require, router

WHOLE_MAX = 100
LOG_PART_BYTES = 1_000_000
OFFSET_MAX = 1 << 40
"""Of a log; what is further on than a file can be, some file systems refuse to look for."""
WAIT_MAX_S = 30.0
_LOOK_S = 0.1

routes = router("tasks")


_TRACE = {"traceparent": "The span that the tasks belong to (W3C); one that is none is left out."}


@routes.post(
    "/tasks",
    **allows(Permission.TASKS_SUBMIT, body="TasksIn", answer=listed("Submission"), headers=_TRACE),
)
async def submit(request: Request, given: Given, key: Key) -> Response:
    """Take tasks up together; each is answered: taken, known already, or refused and why.

    A header `traceparent` makes them part of the sender's trace.
    """
    submission = await body_of(request, TasksIn)
    trace = request.headers.get("traceparent", "")
    specs = specs_of(submission.tasks, key, given.clock.wall_ns(), trace)
    return json_of({"items": await given.coordinator.submit(specs, projects=key.projects)})


@routes.get("/tasks", **allows(Permission.TASKS_READ, answer=listed("Task", next=TEXT)))
async def tasks(  # noqa: PLR0913, PLR0917  one for each query parameter
    given: Given,
    key: Key,
    state: Annotated[list[TaskState], Query(max_length=10)] = [],  # noqa: B006  FastAPI copies it
    user: Word = "",
    project: Word = "",
    kind: Word = "",
    worker_id: Word = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Word = "",
    whole: bool = False,  # noqa: FBT001, FBT002  a query parameter
) -> Response:
    """List tasks, the latest first; `next` asks for those after them.

    They come without `spec.payload` and without `outcome.result`, which can be large: `whole` asks
    for these too, of at most 100.
    """
    project = _project_of(key, project)
    wanted = TaskFilter(
        states=tuple(state), user=user, project=project, kind=kind, worker_id=worker_id
    )
    _check_place(after)
    most = min(limit, WHOLE_MAX) if whole else limit
    page = await given.coordinator.tasks(wanted, limit=most, after=after)
    items = page.tasks if whole else tuple(map(_in_a_list, page.tasks))
    return json_of({"items": items, "next": page.next})


def _in_a_list(task: Task) -> dict[str, Any]:
    """Return a task without the fields that make it large."""
    parts = msgspec.structs.asdict(task)
    parts["spec"] = _without("payload", task.spec)
    parts["outcome"] = task.outcome and _without("result", task.outcome)
    return parts


def _without(name: str, part: msgspec.Struct) -> dict[str, Any]:
    fields = msgspec.structs.asdict(part)
    del fields[name]
    return fields


@routes.get("/recording", **allows(Permission.TASKS_READ, answer="Recording"))
async def recording(
    given: Given,
    key: Key,
    project: Word = "",
    limit: Annotated[int, Query(ge=1, le=RECORDED_MAX)] = 500,
) -> Response:
    """Return the latest tasks, without what they were given, and the workers, to be replayed.

    It takes `workers:read` too.
    """
    require(key, Permission.WORKERS_READ)
    found = await recording_of(given.coordinator, _project_of(key, project), limit)
    return json_of(found)


def _project_of(key: AccessKey, project: str) -> str:
    """Return the project that is looked at: the key's own where it has one and none is named.

    Raises:
        RequestError: it has several, or it is not for this one.
    """
    if key.projects and not project:
        if len(key.projects) > 1:
            raise RequestError(
                422, "Your key is for several projects: say which", expected="project=..."
            )
        return key.projects[0]
    if not key.sees(project):
        raise RequestError(403, "Your key is not for this project", got=project)
    return project


@routes.post(
    "/tasks/{task_id:path}/cancel",
    **allows(Permission.TASKS_CANCEL, body="CancelIn", answer="Task"),
)
async def cancel(task_id: str, request: Request, given: Given, key: Key) -> Response:
    """End a task; its attempt is stopped within a second."""
    body = await body_of(request, CancelIn)
    task = await visible(given.coordinator, key, task_id)
    if not key.may_cancel(task.spec.user):
        raise RequestError(
            403, "This task is another's", got=task.spec.user, expected=key.user,
            next_step="Ask them, or an admin.",
        )  # fmt: skip
    await given.coordinator.cancel(task_id, body.reason or f"cancelled by {key.user}")
    return json_of(await given.coordinator.task(task_id))


REASONS = {"type": "object", "required": ["reasons"], "properties": {
    "task_id": TEXT, "state": TEXT, "reasons": {"type": "array", "items": TEXT}}}  # fmt: skip


@routes.get("/tasks/{task_id:path}/why", **allows(Permission.TASKS_READ, answer=REASONS))
async def why(task_id: str, given: Given, key: Key) -> Response:
    """Say why a task is where it is, a sentence for each thing."""
    task = await visible(given.coordinator, key, task_id)
    reasons = await given.coordinator.why(task_id)
    return json_of({"task_id": task_id, "state": task.state, "reasons": reasons})


@routes.get(
    "/tasks/{task_id:path}/attempts", **allows(Permission.TASKS_READ, answer=listed("Attempt"))
)
async def attempts(task_id: str, given: Given, key: Key) -> Response:
    """List the attempts at a task, the first first."""
    await visible(given.coordinator, key, task_id)
    return json_of({"items": await given.coordinator.attempts(task_id)})


@routes.get(
    "/tasks/{task_id:path}/decisions", **allows(Permission.TASKS_READ, answer=listed("Decision"))
)
async def decisions(
    task_id: str, given: Given, key: Key, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> Response:
    """List what schedulers proposed for a task, and what became of that."""
    await visible(given.coordinator, key, task_id)
    return json_of({"items": await given.coordinator.decisions(task_id, limit)})


@routes.get("/tasks/{task_id:path}/logs", **allows(Permission.LOGS_READ, answer="Logs"))
async def logs(
    task_id: str,
    given: Given,
    key: Key,
    stream: Literal["stdout", "stderr"] = "stdout",
    attempt: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
    wait_s: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0.0,
) -> Response:
    """Return a part of what an attempt wrote; with `wait_s`, wait for more where there is none."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    while True:
        task = await visible(given.coordinator, key, task_id)
        part = await _part(given.coordinator, task, stream, attempt, offset)
        if part.text or part.ended or loop.time() >= until_s:
            return json_of(part)
        await asyncio.sleep(_LOOK_S)


async def _part(
    coordinator: Coordinator, task: Task, stream: str, attempt: int, offset: int
) -> Logs:
    # Asked before the file is read: what was written before the end is then in it.
    number = attempt or task.attempt
    task_ended = task.state in TASK_ENDS
    ended = task_ended or 0 < number < task.attempt or _is_between(task)
    paths = await coordinator.log_paths(task.spec.task_id, number) if number else {}
    path: Path | None = paths.get(stream)
    data = await asyncio.to_thread(read_log, path, offset, LOG_PART_BYTES) if path else b""
    data = data if ended and len(data) < LOG_PART_BYTES else whole_letters(data)
    return Logs(
        task_id=task.spec.task_id, attempt=number, stream=stream,
        text=data.decode("utf-8", "replace"), next_offset=offset + len(data), ended=ended,
        attempts=task.attempt, task_ended=task_ended,
    )  # fmt: skip


def _is_between(task: Task) -> bool:
    """Its last attempt is over, and it waits for the next."""
    return task.state is TaskState.PENDING and task.attempt > 0


def whole_letters(data: bytes) -> bytes:
    """Return UTF-8 without a last letter that is not all there."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data


@routes.get("/tasks/{task_id:path}", **allows(Permission.TASKS_READ, answer="Task"))
async def task(task_id: str, given: Given, key: Key) -> Response:
    """Return all that is known of a task."""
    return json_of(await visible(given.coordinator, key, task_id))


async def visible(coordinator: Coordinator, key: AccessKey, task_id: str) -> Task:
    """Return a task; one of a project that the key is not for is one that there is not.

    Raises:
        UnknownTaskError: there is none.
    """
    if not _can_be_kept(task_id):
        raise UnknownTaskError("There is no such task", got=task_id[:100])
    found = await coordinator.task(task_id)
    if not key.sees(found.spec.project):
        raise UnknownTaskError("There is no such task", got=task_id)
    return found


def _can_be_kept(name: str) -> bool:
    return len(name) <= 1_000 and name.isprintable()


def _check_place(after: str) -> None:
    number = after.partition(":")[0]
    if after and not (number.isascii() and number.isdecimal() and int(number[:30]) < INTEGER_MAX):
        raise RequestError(422, "No page of tasks begins there", got=after)
