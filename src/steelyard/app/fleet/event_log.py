"""What happens to tasks and workers as lines of the log, with their ids as fields."""

import logging
from typing import Any

from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Attempt, Task
from steelyard.runtime.fleet.ports import Change, Happened

_log = logging.getLogger("steelyard.fleet.events")
_WHYS = ("error", "reason")


def log_events(change: Change, _took_s: float) -> None:
    """Log what a commit says: each event, and each attempt that is over.

    Of what is logged only ids, endings and reasons are taken: payloads and results may hold
    secrets, and are large.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    tasks = {task.spec.task_id: task for task in change.tasks}
    over = {attempt.task_id: attempt for attempt in change.attempts}
    unsaid = dict(over)
    for item in change.happened:
        ended = unsaid.get(str(item.arguments.get("task_id", "")))
        if ended is not None and item.name != FleetHook.TASK_STARTED:
            _log_attempt(unsaid.pop(ended.task_id))  # what follows from its end is said after it
        _log_event(item, tasks, over)
    for attempt in unsaid.values():
        _log_attempt(attempt)


def _log_attempt(attempt: Attempt) -> None:
    outcome = attempt.outcome
    ending = str(outcome.ending) if outcome is not None else "over"
    _log.info("attempt_ended: %s", ending, extra={
        "task_id": attempt.task_id, "worker_id": attempt.worker_id, "attempt": attempt.attempt,
    })  # fmt: skip


def _log_event(item: Happened, tasks: dict[str, Task], over: dict[str, Attempt]) -> None:
    fields: dict[str, Any] = {
        name: str(item.arguments[name])
        for name in ("task_id", "worker_id")
        if name in item.arguments
    }
    number = _number(item.name, tasks.get(fields.get("task_id", "")), over)
    if number:
        fields["attempt"] = number
    whys = [str(item.arguments[name]) for name in _WHYS if item.arguments.get(name)]
    _log.info("%s", ": ".join((item.name, *whys[:1])), extra=fields)


def _number(event: str, task: Task | None, over: dict[str, Attempt]) -> int:
    """Return which attempt an event is about, 0 where it is about none."""
    if task is None or event == FleetHook.TASK_CREATED:
        return 0
    ended = over.get(task.spec.task_id)
    if ended is not None and event != FleetHook.TASK_ASSIGNED:
        return ended.attempt  # the task may have its next lease by now
    return task.attempt
