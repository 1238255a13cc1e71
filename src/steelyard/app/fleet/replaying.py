"""A fleet's queue once more, under other schedulers: what would have been better, and otherwise."""

from collections.abc import Sequence
from typing import Any

import msgspec

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.schedulers import make_scheduler
from steelyard.domain.fleet.model import Attempt, Task
from steelyard.domain.fleet.simulation.differences import differences
from steelyard.domain.fleet.simulation.objectives import objectives
from steelyard.domain.fleet.simulation.play import Run, play
from steelyard.domain.fleet.simulation.recording import Recording, recorded
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.ledger_queries import TaskFilter
from steelyard.runtime.fleet.task_by_task import TaskByTaskScheduler
from steelyard.runtime.plugin_host import PluginHost

RECORDED_MAX = 5_000
_PAGE = 500


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A queue under one scheduler.

    Attributes:
        objectives: what it came to, by name; less is better.
        unserved: tasks that got no worker.
        otherwise: what it did otherwise than the first one, a sentence each.
    """

    scheduler: str
    objectives: dict[str, float]
    unserved: int = 0
    otherwise: tuple[str, ...] = ()


async def recording_of(coordinator: Coordinator, project: str = "", limit: int = 500) -> Recording:
    """Return the latest tasks of a fleet, and its workers, as a recording.

    What tasks were given is left out: no scheduler looks at it, and it may be secret.
    """
    tasks: list[Task] = []
    attempts: list[Attempt] = []
    after = ""
    while len(tasks) < limit:
        page = await coordinator.tasks(
            TaskFilter(project=project), limit=min(_PAGE, limit - len(tasks)), after=after
        )
        tasks += page.tasks
        after = page.next
        if not after:
            break
    for task in tasks:
        attempts += await coordinator.attempts(task.spec.task_id)
    found = recorded(tasks, await coordinator.workers(), attempts)
    jobs = tuple(
        msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, payload={}))
        for job in found.jobs
    )
    return msgspec.structs.replace(found, jobs=jobs)


def replay(recording: Recording, names: Sequence[str], host: PluginHost) -> tuple[Replayed, ...]:
    """Play a recording under each scheduler, in order.

    Raises:
        UsageError: there is nothing to play.
        PluginError: there is no scheduler of a name, or it can't be used.
    """
    if not recording.jobs or not recording.hosts:
        raise UsageError(
            "There is nothing to replay",
            got=f"{len(recording.jobs)} tasks, {len(recording.hosts)} workers",
            expected="at least one of each",
        )
    found: list[Replayed] = []
    first: Run | None = None
    for name in names:
        scheduler = make_scheduler(host, name)
        try:
            run = play(recording, scheduler)
        finally:
            if isinstance(scheduler, TaskByTaskScheduler):
                scheduler.close()
        first = first or run
        otherwise = () if run is first else _otherwise(first, run)
        measured: dict[str, Any] = msgspec.to_builtins(objectives(run))
        found.append(
            Replayed(
                scheduler=name, objectives=measured, unserved=len(run.unserved),
                otherwise=otherwise,
            )
        )  # fmt: skip
    return tuple(found)


def _otherwise(first: Run, other: Run) -> tuple[str, ...]:
    return tuple(each.sentence() for each in differences(first.choices, other.choices))


def read_recording(data: bytes) -> Recording:
    """Return a recording from its JSON.

    Raises:
        UsageError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=Recording)
    except msgspec.DecodeError as error:
        raise UsageError(f"This is no recording of a queue: {error}") from None
