"""A task that has ended as spans of a trace: the task, its waits, its attempts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from steelyard.app.fleet.trace_context import (
    TraceContext,
    of_attempt,
    of_task,
    of_wait,
    parent_of,
)
from steelyard.domain.fleet.model import Attempt, Ending, Task
from steelyard.domain.fleet.states import TaskState
from steelyard.kernel.secrets import redacted
from steelyard.runtime.otel.spans import Span, SpanEvent, SpanLink

_FINE = frozenset({Ending.SUCCEEDED, Ending.CANCELLED})
"""Endings that are no error; a task that was cancelled has none either."""


class Recovered(msgspec.Struct, frozen=True):
    """What a task went through because a worker was lost.

    Attributes:
        name: of the event: that a recovery started, was completed or failed.
    """

    name: str
    at_ns: int
    worker_id: str


def spans_of(
    task: Task,
    attempts: Sequence[Attempt],
    engines: Mapping[str, str],
    recovered: Sequence[Recovered] = (),
) -> tuple[Span, ...]:
    """Return the spans of a task; their ids follow from it, so that they are the same each time.

    Args:
        task: one that has ended.
        attempts: at it, the first first.
        engines: names by worker, where they are known.
        recovered: what it went through.
    """
    return (_root(task, len(attempts), recovered), *_parts(task, attempts, engines))


def _root(task: Task, attempts: int, recovered: Sequence[Recovered]) -> Span:
    spec = task.spec
    context, parent = of_task(spec), parent_of(spec)
    bad = task.state in (TaskState.FAILED, TaskState.DEAD_LETTER)
    events = (
        SpanEvent(each.name, each.at_ns, {"steelyard.worker.id": each.worker_id})
        for each in sorted(recovered, key=lambda each: each.at_ns)
    )
    return _span(
        f"task {spec.kind}", context, parent, spec.submitted_ns, task.ended_ns,
        attributes={
            "steelyard.task.id": spec.task_id, "steelyard.task.kind": spec.kind,
            "steelyard.task.name": spec.name, "steelyard.user": spec.user,
            "steelyard.project": spec.project, "steelyard.task.priority": spec.priority,
            "steelyard.task.state": str(task.state), "steelyard.task.attempts": attempts,
            "steelyard.task.reason": task.reason,
        },
        events=tuple(events), error=(task.reason or str(task.state)) if bad else "",
    )  # fmt: skip


def _parts(task: Task, attempts: Sequence[Attempt], engines: Mapping[str, str]) -> Iterator[Span]:
    """Yield the waits and attempts in turn, and the wait that the task's end cut short."""
    root, since_ns = of_task(task.spec), task.spec.submitted_ns
    before: Attempt | None = None
    for attempt in attempts:
        yield _wait(task, attempt.attempt, root, since_ns, attempt.leased_ns)
        yield _attempt(task, attempt, before, engines.get(attempt.worker_id, ""))
        since_ns, before = attempt.ended_ns, attempt
    if before is None or (task.state is TaskState.CANCELLED and task.ended_ns > since_ns):
        yield _wait(task, len(attempts) + 1, root, since_ns, task.ended_ns)


def _wait(task: Task, number: int, root: TraceContext, since_ns: int, until_ns: int) -> Span:
    ready = since_ns < task.ready_ns < until_ns
    return _span(
        "queue", of_wait(task.spec, number), root, since_ns, until_ns,
        attributes={"steelyard.task.id": task.spec.task_id, "steelyard.attempt.number": number},
        events=(SpanEvent("ready", task.ready_ns, {}),) if ready else (),
    )  # fmt: skip


def _attempt(task: Task, attempt: Attempt, before: Attempt | None, engine: str) -> Span:
    outcome, root = attempt.outcome, of_task(task.spec)
    attributes: dict[str, Any] = {
        "steelyard.task.id": attempt.task_id, "steelyard.attempt.number": attempt.attempt,
        "steelyard.attempt.token": attempt.token, "steelyard.worker.id": attempt.worker_id,
        "steelyard.engine": engine,
    }  # fmt: skip
    error = ""
    if outcome is not None:
        attributes["steelyard.attempt.ending"] = str(outcome.ending)
        if outcome.exit_code is not None:
            attributes["process.exit.code"] = outcome.exit_code
        if outcome.energy_j:
            attributes["steelyard.attempt.energy_j"] = outcome.energy_j
        if outcome.ending not in _FINE:
            error = outcome.error or str(outcome.ending)
    links: tuple[SpanLink, ...] = ()
    if before is not None and before.outcome is not None:
        ending = str(before.outcome.ending)
        earlier = of_attempt(task.spec, before.token)
        links = (SpanLink(earlier.trace_id, earlier.span_id, {"steelyard.attempt.ending": ending}),)
    started = (SpanEvent("started", attempt.started_ns, {}),) if attempt.started_ns else ()
    return _span(
        "attempt", of_attempt(task.spec, attempt.token), root, attempt.leased_ns, attempt.ended_ns,
        attributes=attributes, events=started, links=links, error=error,
    )  # fmt: skip


def _span(
    name: str, context: TraceContext, parent: TraceContext | None, begin_ns: int, end_ns: int,
    **more: Any,
) -> Span:  # fmt: skip
    """Return a span that ends when it begins, or later; texts without secrets, nothing empty."""
    attributes = {
        key: redacted(key, value) if isinstance(value, str) else value
        for key, value in more.pop("attributes").items()
        if value != ""
    }
    return Span(
        name=name, trace_id=context.trace_id, span_id=context.span_id,
        parent_id=parent.span_id if parent is not None else "", begin_ns=begin_ns,
        end_ns=max(begin_ns, end_ns), attributes=attributes,
        error=redacted("error", more.pop("error", "")), **more,
    )  # fmt: skip
