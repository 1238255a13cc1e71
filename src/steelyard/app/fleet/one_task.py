"""Asks a scheduler of the whole queue about one task, told in plain values."""

from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.domain.fleet.model import Task, TaskSpec, Worker, seconds
from steelyard.domain.fleet.ports import Free, Scheduler
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements, Room
from steelyard.kernel.errors import UsageError


def capabilities_of(data: Mapping[str, Any]) -> Capabilities:
    """Return capabilities from plain values: the fields of `Capabilities`, or the words of users.

    `gpu_memory_gb` is one GPU of that size, unless `gpus` says otherwise; `supports_cuda`,
    `supports_webgpu` and their like are accelerators. Other words are labels.

    Raises:
        UsageError: a value is not what its name says.
    """
    fields = set(Capabilities.__struct_fields__)
    known = {key: value for key, value in data.items() if key in fields}
    memory_gb = float(data.get("gpu_memory_gb") or 0.0)
    if memory_gb and "gpus" not in known:
        known["gpus"] = [Gpu(model=str(data.get("gpu_model", "")), memory_gb=memory_gb)]
    supports = [
        key.removeprefix("supports_")
        for key, value in data.items()
        if key.startswith("supports_") and value
    ]
    known["accelerators"] = list(dict.fromkeys([*known.get("accelerators", ()), *supports]))
    spoken = {"gpu_memory_gb", "gpu_model", "slots"}
    others = {
        key: str(value)
        for key, value in data.items()
        if key not in fields | spoken and not key.startswith("supports_")
    }
    known["labels"] = {**others, **dict(known.get("labels", {}))}
    try:
        return msgspec.convert(msgspec.to_builtins(known), Capabilities)
    except msgspec.ValidationError as error:
        raise UsageError(f"These capabilities can't be read: {error}") from None


def task_of(task_id: str, data: Mapping[str, Any]) -> Task:
    """Return a ready task from plain values, those that `task_data` makes.

    Raises:
        UsageError: a value is not what its name says.
    """
    try:
        needs = msgspec.convert(dict(data.get("requirements") or {}), Requirements)
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
    except (msgspec.ValidationError, TypeError, ValueError) as error:
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
        workers[name] = Worker(
            worker_id=name, capabilities=capabilities_of(facts), slots=slots, holds=holds
        )
    free = [Free(worker, Room.of(worker.capabilities)) for worker in workers.values()]
    scheduler.added(task)
    for proposal in scheduler.propose(free, workers, now_ns):
        if proposal.task_id == task_id:
            task.worker_id, task.leased_ns = proposal.worker_id, now_ns
            scheduler.leased(task)
            return proposal.worker_id
    scheduler.removed(task_id)
    return None
