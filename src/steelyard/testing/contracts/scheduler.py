"""The contract of a scheduler: hard requirements, filled slots, a reason for each choice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from steelyard.domain.fleet.events import (
    AttemptEnded,
    CancelAsked,
    Dispatch,
    Submitted,
    WorkerRegistered,
)
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Limits, Outcome, Proposal, TaskSpec, seconds
from steelyard.domain.fleet.ports import Free, Scheduler
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements, unmet
from steelyard.domain.fleet.scheduling.desk import Desk
from steelyard.testing.contracts.kit import Contract, require

_BEGIN_NS = seconds(1_000_000.0)
_PATIENT = Limits(silent_s=1e7, lost_s=1e7, start_s=1e7)
_ROUNDS = 400
_PLAIN = Capabilities(cpu_cores=8, memory_gb=16, power_w=200)
_GPUS = Capabilities(
    hardware_type="gpu",
    cpu_cores=16,
    memory_gb=64,
    gpus=(Gpu(model="H200", memory_gb=141),) * 2,
    accelerators=("cuda",),
    labels={"rack": "a"},
    power_w=1500,
    speed=2.0,
)
_NEEDS = (
    Requirements(),
    Requirements(cpu_cores=3, memory_gb=7),
    Requirements(gpus=1, accelerators=("cuda",)),
    Requirements(labels={"rack": "a"}),
    Requirements(worker="p1"),
    Requirements(gpus=2, gpu_model="*H200*", cpu_cores=9),
)


@dataclass(frozen=True)
class SchedulerSubject:
    """A scheduler and its options."""

    cls: type[Scheduler]
    options: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """A fleet without a network, under one scheduler: all it is told, and all it chose."""

    def __init__(self, subject: SchedulerSubject, workers: Mapping[str, Capabilities]) -> None:
        self.now_ns = _BEGIN_NS
        self.fleet = Fleet(_PATIENT)
        self.scheduler = subject.cls(**subject.options)
        self.desk = Desk(self.fleet, self.scheduler)
        for name, capabilities in workers.items():
            self.fleet.handle(WorkerRegistered(name, capabilities, 3), self.now_ns)

    def submit(self, specs: Sequence[TaskSpec]) -> None:
        """Let tasks come."""
        self.desk.watch(self.fleet.handle(Submitted(tuple(specs)), self.now_ns))

    def look(self) -> list[Proposal]:
        """Return what is proposed, and do nothing of it."""
        self.desk.tell()
        workers = self.fleet.book.workers
        return list(self.scheduler.propose(self.free(), workers, self.now_ns))

    def free(self) -> list[Free]:
        """Return the places that are free."""
        return self.desk.free(self.now_ns)

    def turn(self) -> list[Dispatch]:
        """Have leases made of what is proposed."""
        actions, _ = self.desk.turn(self.now_ns)
        return [action for action in actions if isinstance(action, Dispatch)]

    def end(self, begun: Sequence[Dispatch], after_s: float) -> None:
        """Let attempts end well."""
        self.now_ns += seconds(after_s)
        done = Outcome(ending=Ending.SUCCEEDED, seconds=after_s)
        for dispatch in begun:
            lease = dispatch.lease
            event = AttemptEnded(lease.task_id, lease.token, done)
            self.desk.watch(self.fleet.handle(event, self.now_ns))


def _mixed(subject: SchedulerSubject) -> Stage:
    stage = Stage(subject, {"p0": _PLAIN, "p1": _PLAIN, "g0": _GPUS})
    stage.submit([
        TaskSpec(
            task_id=f"t{n:03d}", kind=("command", "pytest")[n % 2], user=f"user{n % 3}",
            project=f"project{n % 2}", priority=n % 4, estimate_s=10.0 * (1 + n % 5),
            deadline_ns=_BEGIN_NS + seconds(500.0 + 60 * n) if n % 3 == 0 else 0,
            requirements=_NEEDS[n % len(_NEEDS)],
        )
        for n in range(60)
    ])  # fmt: skip
    return stage


def _choices(proposals: Sequence[Proposal]) -> list[tuple[str, str]]:
    return [(each.task_id, each.worker_id) for each in proposals]


class SchedulerContract(Contract):
    """Inherit, and override `subject` with a `SchedulerSubject`."""

    kind = "scheduler"

    def test_plain_tasks_fill_alike_workers(self, subject: SchedulerSubject) -> None:
        """With more tasks than slots, all of one user's, no slot is left."""
        stage = Stage(subject, {f"p{n}": _PLAIN for n in range(4)})
        stage.submit([TaskSpec(task_id=f"t{n}", kind="command", user="u") for n in range(30)])
        given = Counter(each.worker_id for each in stage.look())
        require(given == {f"p{n}": 3 for n in range(4)}, f"of 3 slots of each, filled: {given}")

    def test_requirements_are_hard(self, subject: SchedulerSubject) -> None:
        """No task goes to a worker that lacks anything of what it asks for, ever."""
        stage = _mixed(subject)
        for _ in range(20):
            for each in stage.look():
                needs = stage.fleet.book.tasks[each.task_id].spec.requirements
                worker = stage.fleet.book.workers[each.worker_id]
                lacks = unmet(needs, each.worker_id, worker.capabilities)
                require(not lacks, f"{each.task_id} on {each.worker_id}: {'; '.join(lacks)}")
            stage.end(stage.turn(), 30.0)

    def test_no_worker_gets_more_than_it_has_room_for(self, subject: SchedulerSubject) -> None:
        """Slots, cores, memory and GPUs last for all that is proposed together."""
        stage = _mixed(subject)
        rooms = {free.worker.worker_id: free for free in stage.free()}
        for each in stage.look():
            free = rooms[each.worker_id]
            needs = stage.fleet.book.tasks[each.task_id].spec.requirements
            require(free.room.has(needs), f"{each.worker_id} has no room for {each.task_id}")
            free.room.take(needs)
        given = Counter(each.worker_id for each in stage.look())
        over = {name: count for name, count in given.items() if count > 3}
        require(not over, f"more leases than the 3 slots: {over}")

    def test_only_ready_tasks_are_proposed_each_once(self, subject: SchedulerSubject) -> None:
        """Nothing leased, cancelled or unheard of, and nothing twice."""
        stage = _mixed(subject)
        for _ in range(10):
            for each in stage.look()[:1]:
                event = CancelAsked(each.task_id)
                stage.desk.watch(stage.fleet.handle(event, stage.now_ns))
            names = [each.task_id for each in stage.look()]
            require(len(names) == len(set(names)), f"proposed twice: {sorted(names)}")
            stale = [name for name in names if name not in stage.fleet.book.ready]
            require(not stale, f"proposed though not ready: {stale}")
            stage.end(stage.turn(), 20.0)

    def test_what_was_refused_is_proposed_again(self, subject: SchedulerSubject) -> None:
        """A proposal of which no lease came leaves its task in the queue."""
        stage = Stage(subject, {"p0": _PLAIN, "p1": _PLAIN})
        stage.submit([TaskSpec(task_id=f"t{n}", kind="command") for n in range(3)])
        for time in ("at first", "then"):
            names = sorted(each.task_id for each in stage.look())
            require(names == ["t0", "t1", "t2"], f"of three tasks, {time}: {names}")

    def test_every_task_is_served_in_the_end(self, subject: SchedulerSubject) -> None:
        """As long as a worker fits it, and however many came before it."""
        stage = _mixed(subject)
        for _ in range(_ROUNDS):
            stage.end(stage.turn(), 600.0)
            if not stage.fleet.book.ready:
                return
        left = sorted(stage.fleet.book.ready)
        require(not left, f"never served: {left}")

    def test_it_knows_the_leases_of_before(self, subject: SchedulerSubject) -> None:
        """A scheduler that takes over proposes nothing that a worker holds already."""
        stage = _mixed(subject)
        held = {dispatch.lease.task_id for dispatch in stage.turn()}
        stage.scheduler = subject.cls(**subject.options)
        stage.desk.use(stage.scheduler)
        both = held & {each.task_id for each in stage.look()}
        require(not both, f"proposed though leased: {sorted(both)}")

    def test_every_proposal_has_its_reasons(self, subject: SchedulerSubject) -> None:
        """Sentences that a person understands."""
        for each in _mixed(subject).look():
            require(each.reasons, f"no reason why {each.task_id} goes to {each.worker_id}")
            for reason in each.reasons:
                is_sentence = " " in reason and reason.endswith(".")
                require(is_sentence, f"not a sentence: {reason!r}")

    def test_the_same_calls_make_the_same_choices(self, subject: SchedulerSubject) -> None:
        """What was decided can be decided again from the log."""
        one, other = _mixed(subject), _mixed(subject)
        for _ in range(8):
            first, second = _choices(one.look()), _choices(other.look())
            require(first == second, f"first {first[:3]} ..., then {second[:3]} ...")
            one.end(one.turn(), 40.0)
            other.end(other.turn(), 40.0)

    def test_it_changes_nothing_that_it_is_shown(self, subject: SchedulerSubject) -> None:
        """Workers, room and tasks are as before."""
        stage = _mixed(subject)
        stage.look()
        free, workers = stage.free(), stage.fleet.book.workers
        tasks = list(stage.fleet.book.tasks.values())
        before = msgspec.msgpack.encode([free, workers, tasks])
        list(stage.scheduler.propose(free, workers, stage.now_ns))
        after = msgspec.msgpack.encode([free, workers, tasks])
        require(before == after, "a pass changed what it was shown")

    def test_nothing_free_is_nothing_proposed(self, subject: SchedulerSubject) -> None:
        """A pass without a free worker is quietly over."""
        stage = _mixed(subject)
        stage.look()
        found = list(stage.scheduler.propose([], stage.fleet.book.workers, stage.now_ns))
        require(not found, f"proposed without a free worker: {found[:1]}")

    def test_metrics_are_plain_values(self, subject: SchedulerSubject) -> None:
        """They can be written as JSON, before anything happened and after."""
        msgspec.json.encode(dict(subject.cls(**subject.options).metrics()))
        stage = _mixed(subject)
        stage.end(stage.turn(), 10.0)
        metrics = stage.scheduler.metrics()
        require(all(isinstance(name, str) for name in metrics), f"names: {list(metrics)}")
        msgspec.json.encode(dict(metrics))
