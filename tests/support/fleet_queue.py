"""A fleet's queue under one scheduler, on a clock that the test moves."""

from steelyard.domain.fleet.events import (
    AttemptEnded,
    AttemptStarted,
    Dispatch,
    Submitted,
    WorkerRegistered,
)
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Limits, Outcome, TaskSpec, seconds
from steelyard.domain.fleet.requirements import Capabilities, Gpu
from steelyard.domain.fleet.scheduling.desk import Desk

CPU = Capabilities(cpu_cores=8, memory_gb=16, power_w=100)
GPU = Capabilities(
    hardware_type="gpu", cpu_cores=8, memory_gb=16, gpus=(Gpu(model="H200", memory_gb=141),),
    accelerators=("cuda",), power_w=800,
)  # fmt: skip
FOREVER = Limits(silent_s=1e8, lost_s=1e8, start_s=1e8)


def spec(name, **more):
    return TaskSpec(task_id=name, kind=more.pop("kind", "command"), **more)


class QueueRig:
    """Workers are `name=(capabilities, slots)`."""

    def __init__(self, scheduler, **workers):
        self.now_ns = seconds(1_000_000.0)
        self.fleet, self.scheduler = Fleet(FOREVER), scheduler
        for name, (capabilities, slots) in workers.items():
            self.fleet.handle(WorkerRegistered(name, capabilities, slots), self.now_ns)
        self.desk = Desk(self.fleet, scheduler)
        self.decided = []

    def at(self, after_s):
        """Return a time in nanoseconds from now."""
        return self.now_ns + seconds(after_s)

    def submit(self, *specs):
        self.desk.watch(self.fleet.handle(Submitted(tuple(specs)), self.now_ns))

    def turn(self):
        """Return who got what: pairs of task and worker."""
        actions, decided = self.desk.turn(self.now_ns)
        self.decided += decided
        begun = [action.lease for action in actions if isinstance(action, Dispatch)]
        for lease in begun:
            self.fleet.handle(AttemptStarted(lease.task_id, lease.token), self.now_ns)
        return [(lease.task_id, lease.worker_id) for lease in begun]

    def tasks(self):
        """Return who got a worker now."""
        return [name for name, _ in self.turn()]

    def end(self, name, after_s=0.0, ending=Ending.SUCCEEDED):
        """Let a task's attempt end, some time from now."""
        self.now_ns += seconds(after_s)
        task = self.fleet.book.tasks[name]
        taken_s = (self.now_ns - task.leased_ns) / 1e9
        event = AttemptEnded(name, task.token, Outcome(ending=ending, seconds=taken_s))
        self.desk.watch(self.fleet.handle(event, self.now_ns))

    def serve(self, count, each_s=10.0):
        """Return the order in which one slot serves `count` tasks."""
        served = []
        for _ in range(count):
            for name in self.tasks():
                served.append(name)
                self.end(name, each_s)
        return served
