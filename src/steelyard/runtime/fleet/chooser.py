"""Has the scheduler choose, at the coordinator's pace, and notes what it decided."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence

from steelyard.domain.fleet.events import Action
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Proposal, Task
from steelyard.domain.fleet.ports import Free, Scheduler
from steelyard.domain.fleet.scheduling.desk import Desk, Past, Turn
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.guarded_scheduler import GuardedScheduler
from steelyard.runtime.fleet.ports import Decision
from steelyard.runtime.fleet.turn import decisions_of

LOOK_AGAIN_S = 5.0
"""After which a scheduler is asked again that holds tasks back while workers are free."""


class Chooser:
    """The scheduler of one coordinator's loop.

    Args:
        fleet: the machine.
        scheduler: the first; `name` is what its decisions are logged under.
        now_ns: the machine's time.
        is_there: tells of a worker whether an engine has it.
        again: called when the scheduler is to be asked though nothing happened.
        passed: told how many seconds each turn took.

    Attributes:
        name: of the present scheduler.
        desk: tells it of the machine's changes.
    """

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler,
        name: str,
        *,
        now_ns: Callable[[], int],
        is_there: Callable[[str], bool],
        again: Callable[[], None],
        passed: Callable[[float], None] | None = None,
    ) -> None:
        self.name = name
        self.desk = Desk(fleet, scheduler, is_there)
        self._fleet, self._scheduler = fleet, scheduler
        self._now_ns, self._again, self._passed = now_ns, again, passed
        self._look: asyncio.TimerHandle | None = None

    def use(
        self, scheduler: Scheduler | None = None, name: str = "", past: Iterable[Past] = ()
    ) -> None:
        """Go on with another scheduler, or begin with the first; it is told of the past."""
        if scheduler is not None:
            self._let_go()
            self._scheduler, self.name = scheduler, name
        self.desk.use(self._scheduler, past, self._now_ns())

    async def turn(self) -> tuple[list[Action], list[Decision]]:
        """Have the scheduler propose; return what the machine wants then, and what was decided.

        A guarded scheduler is waited for while the loop goes on; the machine waits with it.
        """
        begun_ns = self._now_ns()
        actions, decided = await self._turn(begun_ns)
        if self._passed is not None:
            self._passed((self._now_ns() - begun_ns) / NS_PER_S)
        if self.desk.is_holding_back and self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(LOOK_AGAIN_S, self._look_again)
        return actions, decisions_of(decided, self.name, begun_ns)

    async def _turn(self, now_ns: int) -> Turn:
        scheduler = self._scheduler
        if not isinstance(scheduler, GuardedScheduler):
            return self.desk.turn(now_ns)
        asking = self.desk.asking(now_ns)
        free = next(asking)
        while True:
            proposed = await self._proposed(scheduler, free)
            try:
                free = asking.send((proposed, self._now_ns()))
            except StopIteration as done:
                turn: Turn = done.value
                return turn

    async def _proposed(
        self, scheduler: GuardedScheduler, free: Sequence[Free]
    ) -> Sequence[Proposal]:
        return await scheduler.proposed(free, self._fleet.book.workers, self._now_ns())

    def why_held(self, task: Task) -> tuple[str, ...]:
        """Return why a ready task waits though a worker is free: who says so, and until when."""
        said = self.desk.why_held(task, self._now_ns())
        scheduler = f"scheduler {self.name}" if self.name else "the scheduler"
        again = "whenever a task ends or a worker comes"
        if self._look is not None:
            left_s = max(self._look.when() - asyncio.get_running_loop().time(), 0.0)
            again += f", and in {math.ceil(left_s)} s at the latest"
        holds = "holds it back" if said else "has not chosen it yet"
        first = f"It is ready, and a worker is free, but {scheduler} {holds}."
        return (first, *said, f"The scheduler is asked again {again}.")

    def close(self) -> None:
        """Ask no more."""
        if self._look is not None:
            self._look.cancel()
        self._let_go()

    def _look_again(self) -> None:
        """Ask the scheduler again: what it holds back may have waited long enough."""
        self._look = None
        self._again()

    def _let_go(self) -> None:
        if isinstance(self._scheduler, GuardedScheduler):
            self._scheduler.close()
