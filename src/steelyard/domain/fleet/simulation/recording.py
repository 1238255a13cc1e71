"""A queue to play: who was there, what came when, and how much work it was."""

from collections.abc import Iterable, Sequence

import msgspec

from steelyard.domain.fleet.model import Attempt, Ending, Task, TaskSpec, Worker
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.scheduling.history import type_of
from steelyard.kernel.units import NS_PER_S

UNENDED_S = 60.0
"""The work of a task that nobody saw ending and whose author had no estimate."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of a recording.

    Attributes:
        speeds: how fast it really is with a type of task; its stated speed for others.
    """

    worker_id: str
    capabilities: Capabilities
    slots: int = 1
    speeds: dict[str, float] = {}

    def seconds(self, spec: TaskSpec, work_s: float) -> float:
        """Return how long work takes here that takes `work_s` at speed 1."""
        return work_s / (self.speeds.get(type_of(spec)) or self.capabilities.speed or 1.0)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a recording.

    Attributes:
        after_s: when it came, from the beginning; its deadline counts from the beginning too.
        work_s: how long it takes at speed 1.
    """

    spec: TaskSpec
    after_s: float = 0.0
    work_s: float = 1.0


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and its workers; plain values, so that it can be kept as JSON."""

    hosts: tuple[Host, ...]
    jobs: tuple[Job, ...]


def recorded(
    tasks: Iterable[Task], workers: Iterable[Worker], attempts: Sequence[Attempt] = ()
) -> Recording:
    """Return what a ledger remembers as a recording.

    Work is what the attempt that succeeded took, times the speed of its worker; for what did not
    end so, what its author expected.
    """
    known = {worker.worker_id: worker for worker in workers}
    took: dict[str, float] = {}
    for attempt in attempts:
        outcome = attempt.outcome
        if outcome is not None and outcome.ending is Ending.SUCCEEDED:
            worker = known.get(attempt.worker_id)
            speed = worker.capabilities.speed if worker is not None else 1.0
            span_s = (attempt.ended_ns - (attempt.started_ns or attempt.leased_ns)) / NS_PER_S
            took[attempt.task_id] = (outcome.seconds or span_s) * speed
    listed = sorted(tasks, key=lambda task: (task.spec.submitted_ns, task.spec.task_id))
    begin_ns = listed[0].spec.submitted_ns if listed else 0
    names = {task.spec.task_id for task in listed}
    jobs = []
    for task in listed:
        spec = task.spec
        jobs.append(
            Job(
                spec=msgspec.structs.replace(
                    spec,
                    deadline_ns=max(spec.deadline_ns - begin_ns, 1) if spec.deadline_ns else 0,
                    depends_on=tuple(name for name in spec.depends_on if name in names),
                    submitted_ns=0,
                ),
                after_s=(spec.submitted_ns - begin_ns) / NS_PER_S,
                work_s=took.get(spec.task_id) or spec.estimate_s or UNENDED_S,
            )
        )
    hosts = tuple(
        Host(worker_id=w.worker_id, capabilities=w.capabilities, slots=w.slots)
        for w in known.values()
    )
    return Recording(hosts=hosts, jobs=tuple(jobs))
