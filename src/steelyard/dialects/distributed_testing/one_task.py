"""Asks a scheduler of the whole queue about one task, told in plain values."""

from collections.abc import Mapping
from typing import Any

from steelyard.dialects.distributed_testing.words import (
    capabilities_of,
    is_capability,
    requirements_of,
)
from steelyard.domain.fleet.model import Task, TaskSpec, Worker, seconds
from steelyard.domain.fleet.ports import Free, Scheduler
from steelyard.domain.fleet.requirements import Room
from steelyard.kernel.errors import UsageError


def task_of(task_id: str, data: Mapping[str, Any]) -> Task:
    """Return a ready task from plain values, those that `task_data` makes.

    Raises:
        UsageError: a value is not what its name says.
    """
    try:
        needs = requirements_of(dict(data.get("requirements") or {}))
        labels = {str(k): str(v) for k, v in dict(data.get("labels") or {}).items()}
        spec = TaskSpec(
            task_id=task_id,
            kind=str(data.get("type", "")),
            user=str(data.get("user", "")),
            project=str(data.get("project", "")),
            priority=int(data.get("priority") or 0),
            deadline_ns=seconds(float(data.get("deadline") or 0.0)),
            estimate_s=float(data.get("estimate_s") or 0.0),
            requirements=needs,
            labels=labels,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"Task {task_id} can't be read: {error}") from None
    return Task(spec=spec)


def place_one(
    scheduler: Scheduler,
    task_id: str,
    data: Mapping[str, Any],
    available: Mapping[str, Mapping[str, Any]],
    load: Mapping[str, int],
    now_ns: int = 0,
) -> str | None:
    """Return the worker that a scheduler would give a task now; None to let it wait.

    The scheduler is told of the lease, and of nothing that waits beside it.

    Raises:
        UsageError: a value is not what its name says.
    """
    task = task_of(task_id, data)
    task.ready_ns = now_ns
    workers: dict[str, Worker] = {}
    for name, facts in available.items():
        held = load.get(name, 0)
        slots = int(facts.get("slots") or 0) or held + 1
        holds = {-number: f"{name}/{number}" for number in range(1, held + 1)}
        has = capabilities_of(_of_capabilities(facts))
        workers[name] = Worker(worker_id=name, capabilities=has, slots=slots, holds=holds)
    free = [Free(worker, Room.of(worker.capabilities)) for worker in workers.values()]
    scheduler.added(task)
    for proposal in scheduler.propose(free, workers, now_ns):
        if proposal.task_id == task_id:
            task.worker_id, task.leased_ns = proposal.worker_id, now_ns
            scheduler.leased(task)
            return proposal.worker_id
    scheduler.removed(task_id)
    return None


def _of_capabilities(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of a worker; it is registered already, so unknown words are no errors."""
    return {
        name: value if is_capability(name) else str(value)
        for name, value in facts.items()
        if name != "slots"
    }
