"""What the schedulers of the whole queue share; a strategy says what it does otherwise."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from steelyard.domain.fleet.model import Attempt, Proposal, Task, Worker
from steelyard.domain.fleet.ports import Free
from steelyard.domain.fleet.scheduling.history import History, type_of
from steelyard.domain.fleet.scheduling.outlook import Outlook
from steelyard.domain.fleet.scheduling.passes import Pass, Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order, Queue
from steelyard.domain.fleet.scheduling.waits import Wait
from steelyard.kernel.units import NS_PER_S

OUTLOOKS_MAX = 4_096
"""Types and needs whose outlook is kept from one pass to the next."""
OUTLOOK_LAG = 16
"""An outlook is made anew when a 16th more attempts of its type are known."""
_log = logging.getLogger("steelyard.fleet.scheduler")


class QueueScheduler:
    """Serves tasks as they came, by the first worker that fits; strategies override what differs.

    Args:
        max_tasks_per_worker: leases that a worker holds at most, 0 for as many as it has slots.
        history_window_size: attempts that are remembered of each type of task on each worker.
        detailed_logging: log every proposal with its reasons.
        keep_after_s: a task that fits a worker, but has found no room for so long, has one kept
            for it until there is.
    """

    strategy: ClassVar[str] = "first_come"

    def __init__(
        self,
        *,
        max_tasks_per_worker: int = 0,
        history_window_size: int = 100,
        detailed_logging: bool = False,
        keep_after_s: float = 300.0,
    ) -> None:
        self.queue = Queue()
        self.history = History(history_window_size)
        self.max_tasks_per_worker = max_tasks_per_worker
        self.detailed_logging = detailed_logging
        self.keep_after_s = keep_after_s
        self.workers: Mapping[str, Worker] = {}
        self.current: Pass | None = None
        self.now_ns = 0
        self._kept: dict[str, str] = {}
        self._leased: set[str] = set()
        self._outlooks: dict[tuple[int, str, str], Outlook] = {}
        self._outlooks_of = 0
        self._counts = {"scheduled": 0, "completed": 0, "passes": 0, "left_waiting": 0}
        self.prepare()

    # What a strategy may have otherwise

    def prepare(self) -> None:
        """Set up what is kept, once; a strategy with options has a constructor of its own."""

    def order(self, task: Task) -> Order:
        """Return a task's place in the queue of its party; of equals the first to come is first."""
        return ()

    def sort(self, task: Task) -> str:
        """Return what is scored apart; tasks of one sort that ask for the same suit alike."""
        return ""

    def party(self, task: Task) -> Hashable:
        """Return who is served with a task."""
        return ""

    def rank(self, party: Hashable, task: Task) -> float:
        """Return when a party is served, the smallest first; see `passes.Strategy`."""
        return 0.0

    def is_held(self, party: Hashable, task: Task) -> bool:
        """Tell whether a party lets others go first, if there are any."""
        return False

    def is_over(self, party: Hashable, task: Task) -> bool:
        """Tell whether a party may have nothing more now."""
        return False

    def later(self, task: Task, order: Order) -> Order | None:
        """Return a task's new place in the queue, None where it keeps its place."""
        return None

    def score(self, task: Task, place: Place) -> Score | None:
        """Return how well a place suits a task, None where it had better wait for another."""
        return ()

    def gave(self, party: Hashable, task: Task, place: Place, score: Score) -> None:
        """Take note that a task is proposed for a place."""

    def begin(self) -> None:
        """Get ready for a pass; `now_ns`, `workers` and `current` are set."""

    def why_over(self, party: Hashable, task: Task) -> str:
        """Return why a party may have nothing more now, empty where it may."""
        return ""

    def why_not(self, task: Task, place: Place) -> Wait:
        """Return why a task does not take a place, of which `score` is None."""
        return Wait("another worker suits it better")

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal, a sentence each."""
        return ("It was the next in the queue.",)

    # The port

    def added(self, task: Task) -> None:
        """Take note of a task that became ready."""
        self.queue.put(task, self.party(task), self.order(task), self.sort(task))

    def removed(self, task_id: str) -> None:
        """Take note of one that is ready no longer."""
        self.queue.drop(task_id)
        self._kept.pop(task_id, None)

    def leased(self, task: Task) -> None:
        """Take note of a lease."""
        self._counts["scheduled"] += 1
        self._leased.add(task.spec.task_id)
        self.removed(task.spec.task_id)

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Take note of how an attempt ended."""
        if task.spec.task_id in self._leased:  # not one of before this scheduler's time
            self._leased.discard(task.spec.task_id)
            self._counts["completed"] += 1
        self.history.note(task.spec, attempt, self.workers.get(attempt.worker_id))

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> list[Proposal]:
        """Return leases for the free slots."""
        self.workers, self.now_ns = workers, now_ns
        self._counts["passes"] += 1
        queue = self.queue
        if not free or not queue.waiting:
            return []
        places = [place for place in self._places(free) if place.left]
        found: list[Proposal] = []

        def propose(task: Task, place: Place, score: Score) -> None:
            reasons = (*self.why(task, place, score), self._waited(task))
            found.append(
                Proposal(task_id=task.spec.task_id, worker_id=place.worker_id, reasons=reasons)
            )

        current = self._begin(places, self._kept)
        try:
            current.run(self, propose)
        finally:
            queue.restore()
        self._counts["left_waiting"] += current.waits
        if self.detailed_logging:
            for each in found:
                _log.info("%s: %s -> %s: %s", self.strategy, each.task_id, each.worker_id,
                          " ".join(each.reasons))  # fmt: skip
        return found

    def why_held(
        self, task: Task, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> tuple[str, ...]:
        """Return what keeps a waiting task from the free workers."""
        waiting = self.queue.waiting.get(task.spec.task_id)
        if waiting is None:
            return ()
        self.workers, self.now_ns = workers, now_ns
        kept = dict(self._kept)
        current = self._begin(self._places(free), kept)
        over = self.why_over(waiting.lane.party.key, task)
        if over:
            return (over,)
        waits: dict[Wait, list[str]] = {}
        for place in current.fitting(task):
            wait = self._wait(task, place, {worker: name for name, worker in kept.items()})
            if wait is not None:
                waits.setdefault(wait, []).append(place.worker_id)
        return tuple(wait.of(names, now_ns) for wait, names in waits.items())

    def _wait(self, task: Task, place: Place, kept: Mapping[str, str]) -> Wait | None:
        """Return why a task does not take a place; None where it would, or finds no room there."""
        if not place.left:
            for_whom = kept.get(place.worker_id, task.spec.task_id)
            if for_whom != task.spec.task_id:
                return Wait(f"kept for task {for_whom}, which has waited long for room there")
            if place.held >= self.max_tasks_per_worker > 0:
                return Wait(f"has the most tasks that max_tasks_per_worker allows, {place.held}")
            return None
        if not place.room.has(task.spec.requirements) or self.score(task, place) is not None:
            return None
        return self.why_not(task, place)

    def metrics(self) -> Mapping[str, Any]:
        """Return counts, plain values."""
        return {
            "strategy": self.strategy,
            "queued": len(self.queue),
            **self._counts,
            "kept_workers": dict(self._kept),
            "history_pairs": len(self.history),
        }

    # For strategies

    def able(self, task: Task) -> list[Worker]:
        """Return the workers, busy ones too, that would do for a waiting task."""
        return self.current.able(task) if self.current is not None else []

    def outlook(self, task: Task) -> Outlook:
        """Return what a waiting task can hope for; of well-known types, as it was a little ago."""
        kind = type_of(task.spec)
        key = (*(self.current.fits(task) if self.current is not None else (0, "")), kind)
        found = self._outlooks.get(key)
        noted = self.history.noted(kind)
        if found is None or found.noted + found.noted // OUTLOOK_LAG < noted:
            found = self._outlooks[key] = Outlook(kind, self.able(task), self.history)
        return found

    def _places(self, free: Sequence[Free]) -> list[Place]:
        """Return the free workers as a pass sees them, once the queue knows their profiles."""
        queue, limit = self.queue, self.max_tasks_per_worker
        if queue.profiles.are_stale(self.workers):
            queue.forget_profiles()
        places = [Place(each, queue.profiles.bit(each.worker), limit) for each in free]
        queue.fit()
        return places

    def _begin(self, places: list[Place], kept: dict[str, str]) -> Pass:
        workers = self.workers
        self.current = Pass(self.queue, places, workers, self.now_ns, kept, self.keep_after_s)
        fleet = hash(tuple([(w.takes_more, id(w.capabilities)) for w in workers.values()]))
        if fleet != self._outlooks_of or len(self._outlooks) > OUTLOOKS_MAX:
            self._outlooks, self._outlooks_of = {}, fleet
        self.begin()
        return self.current

    def waited_s(self, task: Task) -> float:
        """Return how long a task has been ready."""
        return max(self.now_ns - task.ready_ns, 0) / NS_PER_S

    def _waited(self, task: Task) -> str:
        return f"It had been ready for {self.waited_s(task):.1f} s."
