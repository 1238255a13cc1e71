"""Schedulers with one fault each, over first come, first served."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steelyard.domain.fleet.model import Attempt, Proposal, Task, Worker
from steelyard.domain.fleet.ports import Free
from steelyard.domain.fleet.requirements import Requirements, Room, unmet
from steelyard.testing.contracts.scheduler import SchedulerSubject


class FirstCome:
    """Conforms."""

    def __init__(self) -> None:
        self.queue: dict[str, Task] = {}
        self.calls = 0

    def added(self, task: Task) -> None:
        """Keep it."""
        self.queue[task.spec.task_id] = task

    def removed(self, task_id: str) -> None:
        """Forget it."""
        self.queue.pop(task_id, None)

    def leased(self, task: Task) -> None:
        """Forget it."""
        self.queue.pop(task.spec.task_id, None)

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Learn nothing."""

    def fits(self, needs: Requirements, worker: Worker) -> bool:
        """Tell whether a worker would do."""
        return not unmet(needs, worker.worker_id, worker.capabilities)

    def has_room(self, needs: Requirements, room: Room, slots: int) -> bool:
        """Tell whether there is room."""
        return slots > 0 and room.has(needs)

    def reasons(self) -> tuple[str, ...]:
        """Return why."""
        return ("It was the next in the queue.",)

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """Give each task to the first worker that fits."""
        self.calls += 1
        slots = {each.worker.worker_id: each.worker.free_slots for each in free}
        rooms = {
            each.worker.worker_id: Room(
                cpu_cores=each.room.cpu_cores, memory_gb=each.room.memory_gb,
                disk_gb=each.room.disk_gb, gpus=each.room.gpus,
            )
            for each in free
        }  # fmt: skip
        for task in list(self.queue.values()):
            needs = task.spec.requirements
            for each in free:
                name = each.worker.worker_id
                if self.fits(needs, each.worker) and self.has_room(needs, rooms[name], slots[name]):
                    slots[name] -= 1
                    rooms[name].take(needs)
                    yield Proposal(
                        task_id=task.spec.task_id, worker_id=name, reasons=self.reasons()
                    )
                    break

    def metrics(self) -> Mapping[str, Any]:
        """Return how many wait."""
        return {"queued": len(self.queue)}


class TakesAnyWorker(FirstCome):
    """Takes requirements for wishes."""

    def fits(self, needs: Requirements, worker: Worker) -> bool:
        """As above, with the fault."""
        return True


class Overbooks(FirstCome):
    """Counts slots, and forgets what tasks need."""

    def has_room(self, needs: Requirements, room: Room, slots: int) -> bool:
        """As above, with the fault."""
        return slots > 0


class OneAtATime(FirstCome):
    """Proposes one lease and leaves the other slots to the next event."""

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """As above, with the fault."""
        return list(super().propose(free, workers, now_ns))[:1]


class TakesItForDone(FirstCome):
    """Forgets a task once it has proposed it."""

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """As above, with the fault."""
        found = list(super().propose(free, workers, now_ns))
        for each in found:
            del self.queue[each.task_id]
        return found


class HearsNoCancel(FirstCome):
    """Goes on with what was cancelled."""

    def removed(self, task_id: str) -> None:
        """As above, with the fault."""


class NeverUsesGpus(FirstCome):
    """Keeps workers with GPUs for later."""

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """As above, with the fault."""
        free = [each for each in free if not each.worker.capabilities.gpus]
        return super().propose(free, workers, now_ns)


class SaysNothing(FirstCome):
    """Has no reasons."""

    def reasons(self) -> tuple[str, ...]:
        """As above, with the fault."""
        return ()


_OBJECTS: list[object] = []


class ByAddress(FirstCome):
    """Chooses by what differs from one object to the next."""

    def __init__(self) -> None:
        super().__init__()
        _OBJECTS.append(self)
        self.is_odd = len(_OBJECTS) % 2

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """As above, with the fault."""
        return super().propose(free[:: -1 if self.is_odd else 1], workers, now_ns)


class TakesFromTheShown(FirstCome):
    """Books in the room that it was shown."""

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """As above, with the fault."""
        found = list(super().propose(free, workers, now_ns))
        rooms = {each.worker.worker_id: each.room for each in free}
        for each in found:
            rooms[each.worker_id].take(self.queue[each.task_id].spec.requirements)
        return found


class ShowsItsObjects(FirstCome):
    """Hands out what it works with."""

    def metrics(self) -> Mapping[str, Any]:
        """As above, with the fault."""
        return {"scheduler": self}


HONEST = SchedulerSubject(FirstCome)

SABOTEURS = [
    ("test_requirements_are_hard", SchedulerSubject(TakesAnyWorker)),
    ("test_no_worker_gets_more_than_it_has_room_for", SchedulerSubject(Overbooks)),
    ("test_plain_tasks_fill_alike_workers", SchedulerSubject(OneAtATime)),
    ("test_what_was_refused_is_proposed_again", SchedulerSubject(TakesItForDone)),
    ("test_only_ready_tasks_are_proposed_each_once", SchedulerSubject(HearsNoCancel)),
    ("test_every_task_is_served_in_the_end", SchedulerSubject(NeverUsesGpus)),
    ("test_every_proposal_has_its_reasons", SchedulerSubject(SaysNothing)),
    ("test_the_same_calls_make_the_same_choices", SchedulerSubject(ByAddress)),
    ("test_it_changes_nothing_that_it_is_shown", SchedulerSubject(TakesFromTheShown)),
    ("test_metrics_are_plain_values", SchedulerSubject(ShowsItsObjects)),
]
