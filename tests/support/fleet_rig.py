"""A fleet in one process: a ledger in memory, an engine that is done at once, first come first."""

import asyncio
from collections import deque

import msgspec

from steelyard.domain.fleet.model import Ending, Outcome, Proposal, Task, Worker
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities, unmet
from steelyard.runtime.fleet.ports import Remembered


class MemoryLedger:
    """Remembers encoded copies, as a database would."""

    def __init__(self):
        self.tasks, self.workers, self.next_token = {}, {}, 1
        self.decisions, self.happened, self.attempts, self.commits = [], [], [], 0

    def load(self):
        return Remembered(
            tasks=tuple(msgspec.msgpack.decode(t, type=Task) for t in self.tasks.values()),
            workers=tuple(msgspec.msgpack.decode(w, type=Worker) for w in self.workers.values()),
            next_token=self.next_token,
        )

    def recall(self, task_ids, keys):
        kept = (msgspec.msgpack.decode(t, type=Task) for t in self.tasks.values())
        return tuple(
            task for task in kept
            if task.spec.task_id in task_ids
            or (task.spec.user, task.spec.idempotency_key) in keys
        )  # fmt: skip

    def recent(self, limit):
        return [
            (msgspec.msgpack.decode(self.tasks[a.task_id], type=Task), a)
            for a in self.attempts[-limit:]
        ]

    def commit(self, change):
        self.commits += 1
        for task in change.tasks:
            self.tasks[task.spec.task_id] = msgspec.msgpack.encode(task)
        for worker in change.workers:
            self.workers[worker.worker_id] = msgspec.msgpack.encode(worker)
        for name in change.gone:
            del self.workers[name]
        self.attempts += change.attempts
        self.decisions += change.decisions
        self.happened += change.happened
        self.next_token = change.next_token

    def state(self, name):
        return msgspec.msgpack.decode(self.tasks[name], type=Task).state


class FirstCome:
    """Takes tasks as they come, workers as they are."""

    def __init__(self):
        self.queue = {}

    def added(self, task):
        self.queue[task.spec.task_id] = task

    def removed(self, task_id):
        self.queue.pop(task_id, None)

    def leased(self, task):
        self.removed(task.spec.task_id)

    def ended(self, task, attempt):
        """No history."""

    def propose(self, free, workers, now_ns):
        slots = [(f.worker, n) for f in free for n in range(f.worker.free_slots)]
        for task in list(self.queue.values()):
            needs = task.spec.requirements
            for place, (worker, _) in enumerate(slots):
                if not unmet(needs, worker.worker_id, worker.capabilities):
                    del slots[place]
                    name = task.spec.task_id
                    yield Proposal(task_id=name, worker_id=worker.worker_id, reasons=("next",))
                    break
            if not slots:
                return

    def metrics(self):
        return {"queued": len(self.queue)}


class InstantEngine:
    """Is done with an attempt when it gets it; `behave` says how it ends."""

    def __init__(self, workers=2, slots=4, behave=None):
        self.workers, self.slots = workers, slots
        self.behave = behave or (lambda lease, spec: Outcome(ending=Ending.SUCCEEDED, result=1))
        self.events = deque()
        self.there = asyncio.Event()
        self.submitted, self.cancelled = [], []

    async def start(self):
        return [(f"w{n}", Capabilities(cpu_cores=64), self.slots) for n in range(self.workers)]

    def say(self, event):
        self.events.append(event)
        self.there.set()

    async def submit(self, lease, spec):
        self.submitted.append(lease)
        outcome = self.behave(lease, spec)
        if outcome is not None:
            self.say(EngineEvent(kind="started", lease=lease))
            self.say(EngineEvent(kind="ended", lease=lease, outcome=outcome))

    async def cancel(self, lease):
        self.cancelled.append(lease)
        outcome = Outcome(ending=Ending.CANCELLED)
        self.say(EngineEvent(kind="ended", lease=lease, outcome=outcome))

    async def next_event(self):
        while not self.events:
            self.there.clear()
            await self.there.wait()
        return self.events.popleft()

    async def stop(self):
        self.events.clear()
