"""A small world around the fleet's machine: a clock, a network that fails, workers that die.

All that happens follows from a seed. The coordinator dies too: it saves before it does anything
else, and goes on from what it saved. What has ended it forgets, and finds on its disk again when
somebody asks for it.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from steelyard.domain.fleet.events import (
    Action,
    AttemptEnded,
    AttemptStarted,
    CancelAsked,
    Dispatch,
    Event,
    Fire,
    ForgetWorker,
    Proposed,
    Refused,
    Reschedule,
    Revoke,
    SaveTask,
    SaveWorker,
    Submitted,
    Ticked,
    WakeAt,
    WorkerHeard,
    WorkerRegistered,
    WorkersOutlived,
)
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import (
    Backoff,
    Ending,
    Lease,
    Limits,
    Outcome,
    Proposal,
    TaskSpec,
    seconds,
)
from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.domain.fleet.task_rules import why_no_lease
from steelyard.testing.fleet_disk import Disk
from steelyard.testing.fleet_promises import Promises

HORIZON_S = 60.0
"""How long faults go on; then the world is well, and all must come to an end."""
REST_S = 3000.0
EVENTS_MAX = 60_000
LIMITS = Limits(heartbeat_s=2, silent_s=5, lost_s=12, start_s=15, grace_s=5)


class SimulatedWorker:
    """What runs on a worker: tokens with their tasks, until when."""

    def __init__(self, worker_id: str, slots: int) -> None:
        self.worker_id = worker_id
        self.slots = slots
        self.running: dict[int, str] = {}
        self.unheard: dict[int, AttemptEnded] = {}
        self.life = 0
        self.is_up = True


class World:
    """One seed's world.

    Args:
        seed: of everything.
        make: makes the machine; a test hands over broken ones.

    Attributes:
        faults, events: how many of each kind there were.
        forgotten: how many tasks the coordinator let go, once they had ended.
    """

    def __init__(self, seed: int, make: Callable[[Limits], Fleet] = Fleet) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self.make = make
        self.now_ns = seconds(1_000_000.0)
        self.begin_ns = self.now_ns
        self.faults: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._wake_ns = 0
        self.fleet = make(LIMITS)
        self.up = True
        self.disk = Disk()
        self.submitted: dict[str, TaskSpec] = {}
        self.forgotten = 0
        self.promises = Promises()
        self.cut: set[str] = set()
        self.lives: dict[str, int] = {}
        count = self.rng.randint(1, 4)
        self.workers = {
            f"w{n}": SimulatedWorker(f"w{n}", self.rng.randint(1, 3)) for n in range(count)
        }

    # The clock

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have something done later."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_ns + seconds(delay_s), self._order, call))

    def run(self) -> "World":
        """Live through the faults, then rest, and check what was promised.

        Raises:
            BrokenPromiseError: something did not hold.
        """
        for worker in self.workers.values():
            self._register(worker)
            self._beat(worker)
        self._submit_some("t", 12)
        self.at(self.rng.uniform(0, HORIZON_S), lambda: self._submit_some("late", 4))
        for _ in range(self.rng.randint(2, 12)):
            self.at(self.rng.uniform(0, HORIZON_S), self._fault)
        self.at(HORIZON_S, self._heal)
        count = 0
        while self._queue and not (self._is_over() and self.now_ns > self._calm_ns()):
            at_ns, _, call = heapq.heappop(self._queue)
            self.now_ns = max(at_ns, self.now_ns)
            call()
            count += 1
            if count > EVENTS_MAX or self.now_ns > self._calm_ns() + seconds(REST_S):
                break
        self.promises.ended(self.disk.tasks(), self.submitted)
        self.promises.forgot(self.fleet.book)
        return self

    def _calm_ns(self) -> int:
        return self.begin_ns + seconds(HORIZON_S)

    def _is_calm(self) -> bool:
        return self.now_ns >= self._calm_ns()

    def _is_over(self) -> bool:
        return self.up and self.promises.has_ended(self.submitted)

    # Messages

    def _send(self, worker: SimulatedWorker, call: Callable[[], None]) -> None:
        """Carry a message, late, twice, or not at all."""
        if not self._is_calm():
            if worker.worker_id in self.cut or self.rng.random() < 0.04:
                self.faults["message lost"] += 1
                return
            if self.rng.random() < 0.04:
                self.faults["message twice"] += 1
                self.at(self.rng.uniform(0, 8), call)
        self.at(self.rng.uniform(0.001, 0.2), call)

    def tell(self, event: Event) -> None:
        """Tell the coordinator, if it is there."""
        if not self.up:
            return
        self.events[type(event).__name__] += 1
        self._do(self.fleet.handle(event, self.now_ns))

    def _do(self, actions: list[Action]) -> None:
        kinds = SaveTask | SaveWorker | ForgetWorker
        self._save([action for action in actions if isinstance(action, kinds)])
        if not self._is_calm() and self.rng.random() < 0.004:
            self.faults["coordinator killed after a save"] += 1
            self._crash()
            return
        for action in actions:
            if isinstance(action, Dispatch):
                self._dispatch(action.lease)
            elif isinstance(action, Revoke):
                worker = self.workers[action.lease.worker_id]
                token = action.lease.token
                self._send(worker, partial(self._stop, worker, token))
            elif isinstance(action, WakeAt) and action.at_ns != self._wake_ns:
                self._wake_ns = action.at_ns
                delay_s = max(action.at_ns - self.now_ns, 0) / 1e9
                self.at(delay_s, lambda: self.tell(Ticked()))
            elif isinstance(action, Reschedule):
                self.at(0.01, self._schedule)
            elif isinstance(action, Fire):
                self.promises.heard(action)
            elif isinstance(action, Refused) and action.event == "WorkerHeard":
                for worker in self.workers.values():
                    if worker.is_up:
                        self._register(worker)
        self.forgotten += len(self.fleet.forget())

    def _save(self, saves: list[SaveTask | SaveWorker | ForgetWorker]) -> None:
        book = self.fleet.book
        for save in saves:
            if isinstance(save, SaveTask):
                task = book.tasks[save.task_id]
                self.promises.saved(task)
                self.disk.save(task)
            elif isinstance(save, ForgetWorker):
                self.disk.forget_worker(save.worker_id)
            elif save.worker_id in book.workers:
                worker = book.workers[save.worker_id]
                self.promises.saved_worker(worker)
                self.disk.save_worker(worker)
        self.disk.next_token = max(self.disk.next_token, book.next_token)

    # The coordinator

    def _crash(self) -> None:
        self.up = False
        self.at(self.rng.uniform(0.1, 4), self._restart)

    def _restart(self) -> None:
        if self.up:
            return
        self.fleet = self.make(LIMITS)
        tasks, workers = self.disk.load()
        self.up = True
        self._wake_ns = 0
        actions = self.fleet.restore(tasks, workers, self.disk.next_token, self.now_ns)
        self._do([*actions, Reschedule()])

    def _schedule(self) -> None:
        if not self.up:
            return
        book = self.fleet.book
        ready = list(book.ready)
        self.rng.shuffle(ready)
        for name in ready:
            for worker_id in sorted(book.workers):
                proposal = Proposal(task_id=name, worker_id=worker_id)
                if not why_no_lease(self.fleet.book, proposal, self.now_ns):
                    self.tell(Proposed((proposal,)))
                    break

    def _submit_some(self, prefix: str, most: int) -> None:
        """Submit tasks that depend on others, of their own and on some that have ended by now."""
        names = [f"{prefix}{number}" for number in range(self.rng.randint(1, most))]
        workers = list(self.workers)
        specs = []
        known = [name for name in self.submitted if name in self.disk.states]
        for number, name in enumerate(names):
            earlier = [other for other in names[:number] if self.rng.random() < 0.15]
            earlier += [other for other in known if self.rng.random() < 0.05]
            pinned = self.rng.choice(workers) if self.rng.random() < 0.1 else ""
            specs.append(
                TaskSpec(
                    task_id=name, kind="command", depends_on=tuple(earlier),
                    retries=self.rng.randint(0, 2), losses_max=self.rng.randint(2, 6),
                    timeout_s=self.rng.choice([5.0, 20.0]), backoff=Backoff(first_s=0.5, max_s=5),
                    endpoint=self.rng.choice(["", "", "http://a"]),
                    requirements=Requirements(worker=pinned),
                )
            )  # fmt: skip
        self.submitted |= {spec.task_id: spec for spec in specs}
        self._until_saved(specs)

    def _until_saved(self, specs: list[TaskSpec]) -> None:
        """Submit as a client does: again, until it is told that the tasks are there."""
        missing = [spec for spec in specs if spec.task_id not in self.disk.states]
        if missing:
            self._submit(missing)
            self.at(1.0, lambda: self._until_saved(missing))

    def _submit(self, specs: list[TaskSpec]) -> None:
        if self.up:
            self.fleet.recall(self.disk.recall(specs), self.now_ns)
            self.tell(Submitted(tuple(specs)))

    # Workers

    def _register(self, worker: SimulatedWorker) -> None:
        event = WorkerRegistered(worker.worker_id, Capabilities(), worker.slots)
        worker.running.clear()
        worker.unheard.clear()
        worker.life += 1
        self._until_known(worker, event, worker.life)

    def _until_known(self, worker: SimulatedWorker, event: WorkerRegistered, life: int) -> None:
        """Register again and again until it is known: the same life is registered once."""
        if worker.life != life or not worker.is_up:
            return
        known = self.disk.knows_worker(worker.worker_id)
        if not known or worker.life > self._known_life(worker):

            def arrive() -> None:
                if self.up and worker.life == life and self._known_life(worker) < life:
                    self.lives[worker.worker_id] = life
                    self.tell(event)

            self._send(worker, arrive)
            self.at(1.0, lambda: self._until_known(worker, event, life))

    def _known_life(self, worker: SimulatedWorker) -> int:
        return self.lives.get(worker.worker_id, 0)

    def _beat(self, worker: SimulatedWorker) -> None:
        if worker.is_up and self._known_life(worker) == worker.life:
            tokens = (*worker.running, *worker.unheard)
            self._send(worker, lambda: self.tell(WorkerHeard(worker.worker_id, tokens)))
            for event in list(worker.unheard.values()):
                self._report(worker, event)
        self.at(LIMITS.heartbeat_s, lambda: self._beat(worker))

    def _dispatch(self, lease: Lease) -> None:
        self.promises.sent(lease)
        worker = self.workers[lease.worker_id]
        life = worker.life
        self._send(worker, lambda: self._begin(worker, lease, life))

    def _begin(self, worker: SimulatedWorker, lease: Lease, life: int) -> None:
        known = lease.token in worker.running or lease.token in worker.unheard
        if not worker.is_up or worker.life != life or known:
            return
        worker.running[lease.token] = lease.task_id
        started = AttemptStarted(lease.task_id, lease.token)
        self._send(worker, lambda: self.tell(started))
        draw = self.rng.random()
        ending = (
            Ending.SUCCEEDED if draw < 0.75 else
            self.rng.choice([Ending.FAILED, Ending.UNREACHABLE, Ending.REFUSED])
        )  # fmt: skip
        outcome = Outcome(ending=ending, result=lease.token if draw < 0.75 else None)
        event = AttemptEnded(lease.task_id, lease.token, outcome)
        delay_s = self.rng.expovariate(1 / 4)
        self.at(delay_s, lambda: self._end(worker, event, life))

    def _end(self, worker: SimulatedWorker, event: AttemptEnded, life: int) -> None:
        if worker.is_up and worker.life == life and worker.running.pop(event.token, ""):
            worker.unheard[event.token] = event
            self._report(worker, event)

    def _report(self, worker: SimulatedWorker, event: AttemptEnded) -> None:
        """Tell how an attempt ended, until that is acknowledged."""

        def forget() -> None:
            worker.unheard.pop(event.token, None)

        def arrive() -> None:
            if self.up:
                self.tell(event)
                self._send(worker, forget)

        self._send(worker, arrive)

    def _stop(self, worker: SimulatedWorker, token: int) -> None:
        task_id = worker.running.get(token)
        if worker.is_up and task_id is not None:
            event = AttemptEnded(task_id, token, Outcome(ending=Ending.CANCELLED))
            self._end(worker, event, worker.life)

    # Faults

    def _fault(self) -> None:
        worker = self.rng.choice(list(self.workers.values()))
        kind = self.rng.choice(
            [
                "worker killed", "partition", "coordinator killed", "clock jumps", "cancel",
                "submitted again", "dead workers forgotten",
            ]
        )  # fmt: skip
        self.faults[kind] += 1
        if kind == "worker killed":
            worker.is_up = False
            worker.running.clear()
            worker.unheard.clear()
            self.at(self.rng.uniform(0.1, 20), lambda: self._revive(worker))
        elif kind == "partition":
            self.cut.add(worker.worker_id)
            length_s = self.rng.uniform(1, 30)
            self.at(length_s, lambda: self.cut.discard(worker.worker_id))
        elif kind == "coordinator killed":
            self._crash()
        elif kind == "clock jumps":
            self.now_ns += seconds(self.rng.uniform(0.5, 30))
        elif kind == "dead workers forgotten":
            self.tell(WorkersOutlived(self.now_ns))
        elif kind == "cancel":
            self.tell(CancelAsked(self.rng.choice(sorted(self.submitted))))
        else:
            self._submit([self.submitted[self.rng.choice(sorted(self.submitted))]])

    def _revive(self, worker: SimulatedWorker) -> None:
        if not worker.is_up:
            worker.is_up = True
            self._register(worker)

    def _heal(self) -> None:
        self.cut.clear()
        self._restart()
        for worker in self.workers.values():
            self._revive(worker)
