"""Plays a recording under a scheduler: the real machine of the fleet, on a virtual clock."""

import heapq
from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.domain.fleet.events import (
    AttemptEnded,
    AttemptStarted,
    Dispatch,
    Event,
    Submitted,
    Ticked,
    WorkerRegistered,
)
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Lease, Limits, Outcome, TaskSpec, seconds
from steelyard.domain.fleet.ports import Scheduler
from steelyard.domain.fleet.scheduling.desk import Desk
from steelyard.domain.fleet.simulation.recording import Recording
from steelyard.kernel.units import NS_PER_S

BEGIN_NS = seconds(1_000_000_000.0)
TICK_S = 30.0
"""How often a scheduler is asked while nothing else happens and tasks wait."""
IDLE_TICKS_MAX = 10_000
_FOREVER_S = 1e8
_LIMITS = Limits(silent_s=_FOREVER_S, lost_s=_FOREVER_S, start_s=_FOREVER_S)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that a scheduler chose; seconds count from the beginning."""

    at_s: float
    task_id: str
    worker_id: str
    reasons: tuple[str, ...] = ()


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task; seconds count from the beginning.

    Attributes:
        ready_s, started_s, ended_s: when.
        worker_id: where.
    """

    spec: TaskSpec
    worker_id: str
    ready_s: float
    started_s: float
    ended_s: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as one scheduler played it.

    Attributes:
        choices: in order.
        played: tasks in the order in which they ended.
        unserved: tasks that got no worker.
        metrics: the scheduler's own, in the end.
    """

    recording: Recording
    choices: tuple[Choice, ...]
    played: tuple[Played, ...]
    unserved: tuple[str, ...]
    metrics: Mapping[str, Any]


class _Stage:
    """The machine, the clock, and what is still to happen."""

    def __init__(self, recording: Recording, scheduler: Scheduler) -> None:
        self.now_ns = BEGIN_NS
        self.fleet = Fleet(_LIMITS)
        self.hosts = {host.worker_id: host for host in recording.hosts}
        self.work_s = {job.spec.task_id: job.work_s for job in recording.jobs}
        self.where: dict[str, str] = {}
        self.choices: list[Choice] = []
        self.played: list[Played] = []
        self._later: list[tuple[int, int, Event]] = []
        self._order = 0
        for host in recording.hosts:
            self.fleet.handle(
                WorkerRegistered(host.worker_id, host.capabilities, host.slots), self.now_ns
            )
        self.desk = Desk(self.fleet, scheduler)

    def at(self, at_ns: int, event: Event) -> None:
        self._order += 1
        heapq.heappush(self._later, (at_ns, self._order, event))

    def run(self) -> None:
        idle = 0
        while self._later:
            self.now_ns = self._later[0][0]
            while self._later and self._later[0][0] == self.now_ns:
                self._handle(heapq.heappop(self._later)[2])
            self._schedule()
            if self._later:
                idle = 0
            elif self.fleet.book.ready and idle < IDLE_TICKS_MAX:
                idle += 1
                self.at(self.now_ns + seconds(TICK_S), Ticked())

    def _since_s(self, at_ns: int) -> float:
        return (at_ns - BEGIN_NS) / NS_PER_S

    def _handle(self, event: Event) -> None:
        self.desk.watch(self.fleet.handle(event, self.now_ns))
        if isinstance(event, AttemptEnded):
            task = self.fleet.book.tasks[event.task_id]
            self.played.append(
                Played(
                    spec=task.spec,
                    worker_id=self.where[event.task_id],
                    ready_s=self._since_s(task.ready_ns),
                    started_s=self._since_s(task.started_ns),
                    ended_s=self._since_s(self.now_ns),
                )
            )

    def _schedule(self) -> None:
        actions, decided = self.desk.turn(self.now_ns)
        for each in decided:
            if not each.refused:
                choice = each.proposal
                self.choices.append(
                    Choice(
                        at_s=self._since_s(self.now_ns),
                        task_id=choice.task_id,
                        worker_id=choice.worker_id,
                        reasons=choice.reasons,
                    )
                )
        for action in actions:
            if isinstance(action, Dispatch):
                self._begin(action.lease)

    def _begin(self, lease: Lease) -> None:
        name = lease.task_id
        self.where[name] = lease.worker_id
        spec = self.fleet.book.tasks[name].spec
        taken_s = self.hosts[lease.worker_id].seconds(spec, self.work_s[name])
        self._handle(AttemptStarted(name, lease.token))
        done = Outcome(ending=Ending.SUCCEEDED, seconds=taken_s)
        self.at(self.now_ns + max(seconds(taken_s), 1), AttemptEnded(name, lease.token, done))


def play(recording: Recording, scheduler: Scheduler) -> Run:
    """Play a recording; every attempt succeeds, and takes what the recording says of its worker.

    Requirements, dependencies and leases are those of the real machine. Where the scheduler waits
    for time to pass rather than for an event, it is asked again each `TICK_S`, as long as tasks
    wait and no worker is busy.
    """
    stage = _Stage(recording, scheduler)
    arrivals: dict[int, list[TaskSpec]] = {}
    for job in recording.jobs:
        spec = job.spec
        at_ns = BEGIN_NS + seconds(job.after_s)
        due_ns = BEGIN_NS + spec.deadline_ns if spec.deadline_ns else 0
        arrivals.setdefault(at_ns, []).append(
            msgspec.structs.replace(
                spec, submitted_ns=at_ns, deadline_ns=due_ns, timeout_s=_FOREVER_S
            )
        )
    for at_ns, specs in arrivals.items():
        stage.at(at_ns, Submitted(tuple(specs)))
    stage.run()
    return Run(
        recording=recording,
        choices=tuple(stage.choices),
        played=tuple(stage.played),
        unserved=tuple(
            sorted(
                job.spec.task_id for job in recording.jobs if job.spec.task_id not in stage.where
            )
        ),
        metrics=scheduler.metrics(),
    )
