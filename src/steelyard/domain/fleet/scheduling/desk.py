"""Between a fleet's machine and its scheduler: tells the one of the other, change by change."""

from collections.abc import Callable, Generator, Iterable

import msgspec

from steelyard.domain.fleet.events import Action, AttemptOver, Proposed, Refused
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Attempt, Proposal, Task
from steelyard.domain.fleet.ports import Explains, Free, Scheduler
from steelyard.domain.fleet.states import TASK_HELD

ROUNDS_MAX = 3
"""How often a scheduler is asked again at once because some of what it proposed did not hold."""


Past = tuple[Task, Attempt]
"""An attempt that ended long ago, and its task."""


class Decided(msgspec.Struct, frozen=True):
    """A proposal, and why it was refused; it was taken where that is empty."""

    proposal: Proposal
    refused: str = ""


Turn = tuple[list[Action], list[Decided]]
"""What the machine wants after a turn, and what was decided in it."""
Asking = Generator[list[Free], tuple[Iterable[Proposal], int], Turn]
"""A turn that waits for proposals: yields the free workers, is sent what is proposed and when."""


class Desk:
    """Asks a scheduler for leases whenever something changed.

    It is told of ready tasks, leases and ends as they come, so that a pass over a long queue costs
    what changed. Whoever drives the fleet hands over all actions of its machine to `watch`.

    Args:
        fleet: the machine.
        scheduler: of whom it is told everything that stands.
        is_there: tells of a worker whether it can be reached; others are not offered, though the
            machine may not know yet that they are gone.

    Attributes:
        is_holding_back: tasks wait though workers are free: time alone may change what a scheduler
            proposes, so it is to be asked again after a while.
    """

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler,
        is_there: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._fleet = fleet
        self._scheduler = scheduler
        self._is_there = is_there
        self._known: set[str] = set()
        self.is_holding_back = False
        self.use(scheduler)

    def use(self, scheduler: Scheduler, past: Iterable[Past] = (), now_ns: int = 0) -> None:
        """Go on with another scheduler; it is told of the past, of all leases and the whole queue.

        Args:
            scheduler: the one to ask from now on.
            past: attempts that ended before, the first first.
            now_ns: Unix time.
        """
        self._scheduler = scheduler
        book = self._fleet.book
        known = list(past)
        if known:
            # With no place to fill it learns who the workers are: a history counts how fast.
            list(scheduler.propose((), book.workers, now_ns))
        for task, attempt in known:
            scheduler.ended(task, attempt)
        book.ready_changes.clear()
        self._known = set(book.ready)
        for task in book.tasks.values():
            if task.state in TASK_HELD:
                scheduler.leased(task)
        for task in book.ready.values():
            scheduler.added(task)

    def watch(self, actions: Iterable[Action]) -> None:
        """Tell the scheduler of the attempts that are over."""
        for action in actions:
            if isinstance(action, AttemptOver):
                attempt = action.attempt
                self._scheduler.ended(self._fleet.book.tasks[attempt.task_id], attempt)

    def turn(self, now_ns: int) -> Turn:
        """Have the scheduler propose; return what the machine wants then, and what was decided."""
        asking = self.asking(now_ns)
        free = next(asking)
        while True:
            proposed = self._scheduler.propose(free, self._fleet.book.workers, now_ns)
            try:
                free = asking.send((proposed, now_ns))
            except StopIteration as done:
                turn: Turn = done.value
                return turn

    def asking(self, now_ns: int) -> Asking:
        """Do as `turn`, for whoever has the scheduler propose elsewhere and waits for that.

        Until it is sent what was proposed for the workers that it yielded, nothing is to happen to
        the machine.
        """
        actions: list[Action] = []
        decided: list[Decided] = []
        for _ in range(ROUNDS_MAX):
            self.tell()
            free = self.free(now_ns)
            proposed, now_ns = yield free
            proposals = tuple(proposed)
            self.is_holding_back = bool(free and self._known)
            if not proposals:
                break
            wanted = self._fleet.handle(Proposed(proposals), now_ns)
            self.watch(wanted)
            actions += wanted
            refused = {a.task_id: a.reason for a in wanted if isinstance(a, Refused)}
            decided += [Decided(p, refused.get(p.task_id, "")) for p in proposals]
            if not refused:
                break
        self.tell()
        return actions, decided

    def why_held(self, task: Task, now_ns: int) -> tuple[str, ...]:
        """Return what the scheduler says of a ready task that it proposes nothing for.

        Nothing where it can't say, or has only not had its turn.
        """
        if not isinstance(self._scheduler, Explains) or task.spec.task_id not in self._known:
            return ()
        free, workers = self.free(now_ns), self._fleet.book.workers
        return tuple(self._scheduler.why_held(task, free, workers, now_ns))

    def free(self, now_ns: int) -> list[Free]:
        """Return the workers that take more now."""
        book = self._fleet.book
        return [
            Free(worker, book.room(worker))
            for worker in book.workers.values()
            if worker.takes_more
            and worker.free_slots
            and self._is_there(worker.worker_id)
            and book.breaker(worker.worker_id).allows(now_ns)
        ]

    def tell(self) -> None:
        """Tell the scheduler which tasks became ready, and which no longer are."""
        book = self._fleet.book
        changes = dict(book.ready_changes)
        book.ready_changes.clear()
        for name in changes:
            task = book.ready.get(name)
            if name in self._known:
                self._known.discard(name)
                held = book.tasks.get(name)  # None for one that ended, and was forgotten
                if task is None and held is not None and held.state in TASK_HELD:
                    self._scheduler.leased(held)
                    continue
                self._scheduler.removed(name)
            if task is not None:
                self._known.add(name)
                self._scheduler.added(task)
