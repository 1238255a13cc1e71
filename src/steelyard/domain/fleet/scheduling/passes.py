"""One pass: free places are filled from the queue, task by task, as a strategy has it."""

import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Protocol

from steelyard.domain.fleet.model import Task, Worker
from steelyard.domain.fleet.requirements import Requirements, preferred
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Lane, Order, Party, Queue, Waiting
from steelyard.kernel.units import NS_PER_S

Score = tuple[float, ...]
"""How well a place suits a task, the smallest best."""


class Strategy(Protocol):
    """What a pass asks."""

    def rank(self, party: Hashable, task: Task) -> float:
        """Return when a party is served, the smallest first; its first task is `task`."""
        ...

    def is_held(self, party: Hashable, task: Task) -> bool:
        """Tell whether a party lets others go first, if there are any."""
        ...

    def is_over(self, party: Hashable, task: Task) -> bool:
        """Tell whether a party may have nothing more now."""
        ...

    def later(self, task: Task, order: Order) -> Order | None:
        """Return a task's new place in the queue, None where it keeps its place."""
        ...

    def score(self, task: Task, place: Place) -> Score | None:
        """Return how well a place suits a task, None where it had better wait for another."""
        ...

    def gave(self, party: Hashable, task: Task, place: Place, score: Score) -> None:
        """Take note that a task is proposed for a place."""


class Pass:
    """What one pass knows: the time, all workers, and the places that are free.

    Attributes:
        kept: workers kept for a task that has waited long for room, by task.
        waits: tasks of which nothing was proposed though a place was free: the first of their lane.
    """

    def __init__(
        self,
        queue: Queue,
        places: list[Place],
        workers: Mapping[str, Worker],
        now_ns: int,
        kept: dict[str, str],
        keep_after_s: float,
    ) -> None:
        self.queue = queue
        self.places = places
        self.workers = workers
        self.now_ns = now_ns
        self.kept = kept
        self.waits = 0
        self._keep_after_ns = int(keep_after_s * NS_PER_S)
        self._able: dict[tuple[int, str], list[Worker]] = {}
        self._open: dict[tuple[int, str], list[Place]] = {}
        self._mask = 0
        self._pins: frozenset[str] = frozenset()
        self._close_kept()
        self._see()

    def able(self, task: Task) -> list[Worker]:
        """Return the workers that take leases and fit a waiting task when they are idle."""
        mask, pin = key = self.fits(task)
        if key not in self._able:
            bit = self.queue.profiles.bit
            self._able[key] = [
                worker
                for worker in self.workers.values()
                if worker.takes_more and bit(worker) & mask and (not pin or pin == worker.worker_id)
            ]
        return self._able[key]

    def fitting(self, task: Task) -> Iterable[Place]:
        """Return the places whose workers would do for a waiting task, were they idle."""
        return self._fitting(self.queue.waiting[task.spec.task_id].lane)

    def fits(self, task: Task) -> tuple[int, str]:
        """Return what is the same for tasks that fit the same workers."""
        group = self.queue.waiting[task.spec.task_id].lane.group
        return (group.mask, group.pin) if group is not None else (0, "")

    def run(self, strategy: Strategy, propose: Callable[[Task, Place, Score], None]) -> None:
        """Fill the places."""
        self._serve_kept(strategy, propose)
        line: list[tuple[float, int, Party]] = []
        aside: list[tuple[float, int, Party]] = []
        for number, party in enumerate(self.queue.parties.values()):
            self._enter(line, number, party, strategy)
        while self._mask and (line or aside):
            if not line:
                # Nobody else has anything for the places that are left: better they than nobody.
                strict, line, aside = False, aside, []
                heapq.heapify(line)
            else:
                strict = True
            rank, number, party = heapq.heappop(line)
            waiting = self.queue.first(party, self._mask, self._pins)
            if waiting is None:
                continue
            now_rank = strategy.rank(party.key, waiting.task)
            if now_rank > rank and line and (now_rank, number) > line[0][:2]:
                heapq.heappush(line, (now_rank, number, party))
                continue
            if strict and strategy.is_held(party.key, waiting.task):
                aside.append((now_rank, number, party))
                continue
            if strategy.is_over(party.key, waiting.task):
                continue
            served = self._serve(strategy, party.key, waiting, propose)
            self._enter(line, number, party, strategy)
            if served and aside:
                for entry in aside:
                    heapq.heappush(line, entry)
                aside = []

    def _enter(
        self,
        line: list[tuple[float, int, Party]],
        number: int,
        party: Party,
        strategy: Strategy,
    ) -> None:
        waiting = self.queue.first(party, self._mask, self._pins)
        if waiting is not None:
            heapq.heappush(line, (strategy.rank(party.key, waiting.task), number, party))

    def _serve(
        self,
        strategy: Strategy,
        party: Hashable,
        waiting: Waiting,
        propose: Callable[[Task, Place, Score], None],
    ) -> bool:
        """Propose a place for a task, or leave its lane alone."""
        task = waiting.task
        order = strategy.later(task, waiting.order)
        if order is not None:
            self.queue.move(waiting, order)
            return False
        place, score = self._best(strategy, waiting)
        if place is None:
            self.waits += 1
            self.queue.stash(waiting.lane)
            return False
        self.queue.take(waiting)
        place.give(waiting.lane.needs)
        strategy.gave(party, task, place, score)
        propose(task, place, score)
        if not place.left:
            self._see()
        return True

    def _best(self, strategy: Strategy, waiting: Waiting) -> tuple[Place | None, Score]:
        task, needs = waiting.task, waiting.lane.needs
        best: Place | None = None
        best_score: Score = ()
        crowded: Place | None = None
        for place in self._fitting(waiting.lane):
            if not place.left:
                continue
            if not place.room.has(needs):
                crowded = crowded if crowded is not None and crowded.left >= place.left else place
                continue
            score = strategy.score(task, place)
            if score is None:
                continue
            if needs.prefers:
                score = (-preferred(needs, place.worker.capabilities), *score)
            if best is None or score < best_score:
                best, best_score = place, score
        if best is None and crowded is not None:
            self._keep(task, crowded)
        return best, best_score

    def _fitting(self, lane: Lane) -> Iterable[Place]:
        group = lane.group
        if group is None:
            return ()
        key = (group.mask, group.pin)
        if key not in self._open:
            self._open[key] = [
                place
                for place in self.places
                if place.bit & group.mask and (not group.pin or group.pin == place.worker_id)
            ]
        return self._open[key]

    # Keeping a worker for what needs much of it

    def _close_kept(self) -> None:
        """Leave kept workers alone, but for the tasks that they are kept for."""
        for task_id, worker_id in list(self.kept.items()):
            waiting = self.queue.waiting.get(task_id)
            worker = self.workers.get(worker_id)
            if waiting is None or worker is None or not worker.takes_more:
                del self.kept[task_id]
                continue
            for place in self.places:
                if place.worker_id == worker_id and not place.room.has(waiting.lane.needs):
                    place.left = 0

    def _serve_kept(
        self, strategy: Strategy, propose: Callable[[Task, Place, Score], None]
    ) -> None:
        for task_id, worker_id in list(self.kept.items()):
            waiting = self.queue.waiting[task_id]
            party = waiting.lane.party.key
            for place in self.places:
                if place.worker_id != worker_id or not place.left:
                    continue
                score = strategy.score(waiting.task, place)
                if score is not None and not strategy.is_over(party, waiting.task):
                    self.queue.pull(waiting)
                    place.give(waiting.lane.needs)
                    strategy.gave(party, waiting.task, place, score)
                    propose(waiting.task, place, score)
                    self._see()

    def _keep(self, task: Task, place: Place) -> None:
        """Keep a worker for a task that has waited long for room on any: small ones would pass."""
        name = task.spec.task_id
        waited_ns = self.now_ns - task.ready_ns
        if name in self.kept or waited_ns < self._keep_after_ns:
            return
        if place.worker_id in self.kept.values():
            return
        self.kept[name] = place.worker_id
        place.left = 0
        self._see()

    def _see(self) -> None:
        """Note which profiles, and whose places, are still open."""
        mask = 0
        pins = []
        for place in self.places:
            if place.left:
                mask |= place.bit
                pins.append(place.worker_id)
        self._mask, self._pins = mask, frozenset(pins)


def asks_for_much(needs: Requirements) -> tuple[float, ...]:
    """Return what sorts requirements by how scarce it is what they ask for, the scarcest last."""
    named = len(needs.accelerators) + len(needs.runtimes) + len(needs.browsers) + len(needs.labels)
    return (needs.gpus, needs.gpu_memory_gb, named, needs.memory_gb, needs.cpu_cores)
