"""Keeps a stranger's scheduler from holding up a coordinator, or from ending it.

All calls of the scheduler are made in one thread of its own, in order. The fleet waits for a pass a
while; one that takes longer, or raises, is served first come, first served instead, and what the
scheduler says later is of the past and dropped. Failures in a row, or a call that does not come
back, quarantine it: from then on all is served so, until somebody chooses a scheduler again. It
is handed copies of tasks and workers, which stay as they were whatever becomes of the others.
"""

import asyncio
import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import msgspec

from steelyard.domain.fleet.model import Attempt, Proposal, Task, Worker
from steelyard.domain.fleet.ports import Explains, Free, Scheduler
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.plugins.hooks import FAILURES_MAX
from steelyard.runtime.fleet.own_thread import OwnThread
from steelyard.runtime.plugin_border import PluginBorder

PASS_WITHIN_S = 2.0
"""How long a pass is waited for. Meanwhile heartbeats wait too: it must be much shorter than the
silence after which a worker is disconnected."""
HANGS_S = 10.0
"""How long after its beginning a call that has not come back is given up for good."""
LOOK_WITHIN_S = 0.2
"""How long is waited for what it says of itself or of a task: the loop stands still for that."""

_log = logging.getLogger("steelyard.fleet.scheduler")
T = TypeVar("T")
_Note = tuple[str, Callable[[], object]]
_Passed = tuple[list[Proposal], str]
"""What a pass proposed, and what went wrong in it though it came to an end."""


class _LostTrackError(PluginError):
    """A scheduler raised when it was told of the queue: nobody knows what it knows of it now."""


class GuardedScheduler:
    """A scheduler behind which the fleet goes on whatever it does.

    Args:
        scheduler: a stranger's.
        name: of it, in sentences.
        border: counts what it raises.
        tasks_max: leases that a worker holds at most while others stand in for it, 0 for as many
            as it has slots.

    Attributes:
        quarantined: why it is asked no more; empty while it is.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        border: PluginBorder | None = None,
        *,
        tasks_max: int = 0,
    ) -> None:
        self.scheduler, self.name = scheduler, name
        self.quarantined = ""
        self._label = f"scheduler '{name}'"
        self._border = border or PluginBorder()
        self._first_come = QueueScheduler(max_tasks_per_worker=tasks_max)
        self._thread = OwnThread(f"fleet-scheduler {name}")
        self._notes: list[_Note] = []
        self._under_way: Future[_Passed] | None = None
        self._since_s = 0.0
        self._asked: Future[Any] | None = None
        self._in_a_row = 0
        self._trouble = ""
        self._measured: Mapping[str, Any] = {}
        self._counts = {"guard_failures": 0, "guard_first_come_passes": 0}

    # The port

    def added(self, task: Task) -> None:
        """Have it told of a task that became ready."""
        self._first_come.added(task)
        self._note("added", partial(self.scheduler.added, copy.copy(task)))

    def removed(self, task_id: str) -> None:
        """Have it told of one that is ready no longer."""
        self._first_come.removed(task_id)
        self._note("removed", partial(self.scheduler.removed, task_id))

    def leased(self, task: Task) -> None:
        """Have it told of a lease."""
        self._first_come.leased(task)
        self._note("leased", partial(self.scheduler.leased, copy.copy(task)))

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Have it told how an attempt ended."""
        self._first_come.ended(task, attempt)
        self._note("ended", partial(self.scheduler.ended, copy.copy(task), attempt))

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> list[Proposal]:
        """Return leases; the thread waits for them. Without a free worker it is told only."""
        if not free:
            seen = _seen(workers)
            self._note("propose", lambda: list(self.scheduler.propose((), seen, now_ns)))
            return []
        job = self._begin(free, workers, now_ns)
        if job is None:
            return self._served(free, workers, now_ns)
        try:
            return self._took(job.result(PASS_WITHIN_S))
        except (TimeoutError, SteelyardError) as error:
            self._gave_up(error)
            return self._served(free, workers, now_ns)

    async def proposed(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> list[Proposal]:
        """Return leases as `propose` does, while the loop goes on."""
        if not free and not self._notes:
            return []
        job = self._begin(free, workers, now_ns)
        if job is None:
            return self._served(free, workers, now_ns)
        try:
            return self._took(await asyncio.wait_for(asyncio.wrap_future(job), PASS_WITHIN_S))
        except (TimeoutError, SteelyardError) as error:
            self._gave_up(error)
            return self._served(free, workers, now_ns)

    def why_held(
        self, task: Task, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> tuple[str, ...]:
        """Return what it says of a task; who serves in its place, where that is so."""
        if self.quarantined or self._is_late():
            said = self._first_come.why_held(task, free, workers, now_ns)
            return (f"Scheduler {self.name} {self._trouble}: first come, first served.", *said)
        scheduler = self.scheduler
        if not isinstance(scheduler, Explains):
            return ()
        shown, seen = copy.copy(task), _seen(workers)
        places = _places(free, seen)
        return self._look(
            lambda: tuple(map(str, scheduler.why_held(shown, places, seen, now_ns)))
        ) or ()  # fmt: skip

    def metrics(self) -> Mapping[str, Any]:
        """Return what it measures, as it last told, and how often it had to be stood in for."""

        def measured() -> Mapping[str, Any]:
            own = dict(self.scheduler.metrics())
            msgspec.json.encode(own)
            return own

        self._measured = self._look(measured) or self._measured
        return {
            **self._measured, **self._counts, "quarantined": int(bool(self.quarantined)),
            "guard_trouble": self._trouble,
        }  # fmt: skip

    def close(self) -> None:
        """Ask it no more, and let go of its thread."""
        self.quarantined = self.quarantined or "is no longer in use"
        self._notes = []
        close = getattr(self.scheduler, "close", None)
        if close is not None:
            self._thread.submit(partial(self._at_border, "let go", close))
        self._thread.close()

    # In its thread

    def _at_border(self, action: str, call: Callable[[], T]) -> T:
        with self._border.crossing(self._label, action):
            return call()

    def _pass(
        self,
        notes: Sequence[_Note],
        free: Sequence[Free],
        workers: Mapping[str, Worker],
        now_ns: int,
    ) -> _Passed:
        """Tell it what happened, and have it propose no more leases than there are free slots."""
        problem = self._tell(notes)
        if not free:
            return [], problem
        slots = sum(each.worker.free_slots for each in free)
        with self._border.crossing(self._label, "propose leases"):
            found = list(islice(self.scheduler.propose(free, workers, now_ns), slots))
        for each in found:
            if not _is_proposal(each):
                raise PluginError(
                    f"Scheduler {self.name} proposed something else than a lease",
                    got=each, expected="a Proposal of two ids, with reasons in words",
                )  # fmt: skip
        return found, problem

    def _tell(self, notes: Sequence[_Note]) -> str:
        """Tell it what happened; return what was wrong with what it only remembers.

        Raises:
            _LostTrackError: it raised, and does not know now who waits and who has a lease.
        """
        problem = ""
        for about, tell in notes:
            try:
                self._at_border(f"hear what was {about}", tell)
            except SteelyardError as error:
                if about != "ended":
                    raise _LostTrackError(str(error)) from error
                problem = str(error)
        return problem

    def _say(self, notes: Sequence[_Note], call: Callable[[], T]) -> T:
        self._tell(notes)
        return self._at_border("say how it does", call)

    # In the coordinator's thread

    def _note(self, about: str, tell: Callable[[], object]) -> None:
        if not self.quarantined:
            self._notes.append((about, tell))

    def _begin(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> "Future[_Passed] | None":
        """Begin a pass; None where it can't be asked now."""
        if self.quarantined or self._is_busy():
            return None
        notes, self._notes = self._notes, []
        seen = _seen(workers)
        job = self._thread.submit(partial(self._pass, notes, _places(free, seen), seen, now_ns))
        self._under_way, self._since_s = job, time.monotonic()
        return job

    def _is_late(self) -> bool:
        """Tell whether a call is under way that was waited for long enough."""
        return self._under_way is not None and time.monotonic() - self._since_s > PASS_WITHIN_S

    def _is_busy(self) -> bool:
        """Tell whether it has yet to come back from a call; from one that hangs it never does."""
        job = self._under_way
        if job is not None and not job.done():
            if time.monotonic() - self._since_s > HANGS_S:
                self._quarantine(f"has not come back for {HANGS_S:g} s")
            return True
        self._under_way = None
        for late in (job, self._asked):
            error = late.exception() if late is not None and late.done() else None
            if isinstance(error, _LostTrackError):
                self._quarantine(f"lost track of the queue: {error}")
        return bool(self.quarantined)

    def _took(self, passed: _Passed) -> list[Proposal]:
        """Return what a pass proposed that came back in time."""
        self._under_way = None
        found, problem = passed
        if problem:
            self._failed(problem)
        else:
            self._in_a_row, self._trouble = 0, ""
        return found

    def _gave_up(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            self._failed(f"took longer than {PASS_WITHIN_S:g} s for a pass")
            return
        self._under_way = None
        if isinstance(error, _LostTrackError):
            self._quarantine(f"lost track of the queue: {error}")
        else:
            self._failed(f"failed: {error}")

    def _failed(self, text: str) -> None:
        self._counts["guard_failures"] += 1
        self._in_a_row += 1
        self._trouble = text.rstrip(".")
        if self._in_a_row >= FAILURES_MAX:
            self._quarantine(self._trouble)
        else:
            _log.error("Scheduler %s %s", self.name, text)

    def _quarantine(self, why: str) -> None:
        self.quarantined = self._trouble = why.rstrip(".")
        self._notes = []
        self._thread.close()
        _log.error(
            "Scheduler %s is quarantined: it %s. Tasks are served first come, first served, until "
            "a scheduler is chosen again.", self.name, self.quarantined,
        )  # fmt: skip

    def _served(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> list[Proposal]:
        """Return leases for who came first."""
        if not free:
            return []
        self._counts["guard_first_come_passes"] += 1
        why = f"First come, first served: scheduler {self.name} {self._trouble}."
        return [
            msgspec.structs.replace(each, reasons=(*each.reasons, why))
            for each in self._first_come.propose(free, workers, now_ns)
        ]

    def _look(self, call: Callable[[], T]) -> T | None:
        """Return what it says at once, None where it does not."""
        is_asked = self._asked is not None and not self._asked.done()
        if self.quarantined or is_asked or self._is_busy():
            return None
        notes, self._notes = self._notes, []
        # Should it hang there, the next pass waits behind it, and finds that out.
        self._asked = job = self._thread.submit(partial(self._say, notes, call))
        try:
            return job.result(LOOK_WITHIN_S)
        except TimeoutError:
            text = f"took longer than {LOOK_WITHIN_S:g} s to say how it does"
        except SteelyardError as error:
            text = f"failed: {error}"
        self._counts["guard_failures"] += 1
        _log.warning("Scheduler %s %s", self.name, text)
        return None


def _seen(workers: Mapping[str, Worker]) -> dict[str, Worker]:
    """Return the workers as they are now: who is given up may go on looking while they change."""
    seen = {name: copy.copy(worker) for name, worker in workers.items()}
    for worker in seen.values():
        worker.holds = worker.holds.copy()
    return seen


def _places(free: Sequence[Free], seen: Mapping[str, Worker]) -> tuple[Free, ...]:
    return tuple(Free(seen[each.worker.worker_id], each.room) for each in free)


def _is_proposal(value: object) -> bool:
    return isinstance(value, Proposal) and all(
        isinstance(text, str) for text in (value.task_id, value.worker_id, *value.reasons)
    )
