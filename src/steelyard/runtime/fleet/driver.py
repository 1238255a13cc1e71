"""Does what the fleet's machine wants: saves first, then engines, then plugins.

One loop takes events in order, several at once where they wait: one commit for all of them. So a
coordinator that dies at any moment has done nothing that its ledger does not know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from steelyard.domain.fleet.events import (
    Action,
    Dispatch,
    Event,
    ForgetWorker,
    Refused,
    Reschedule,
    Revoke,
    Submitted,
    Ticked,
    WakeAt,
    WorkerLeft,
)
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Lease, Task
from steelyard.domain.fleet.ports import Engine, Scheduler
from steelyard.domain.fleet.states import TASK_HELD, WorkerState
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.chooser import Chooser
from steelyard.runtime.fleet.engine_room import EngineRoom
from steelyard.runtime.fleet.ports import Decision, Happened, Ledger, Remembered
from steelyard.runtime.fleet.turn import change_of, happened_of
from steelyard.runtime.uninterrupted import to_its_end

BATCH_MAX = 1_000
"""Events that share a commit, at most."""
PAST_MAX = 2_000
"""Attempts of before that a scheduler is told of when it comes into use, the last ones."""
Listener = Callable[[Happened], Awaitable[None]]
_STOPPED = "The coordinator has stopped"


class _Switch(msgspec.Struct):
    """Another scheduler is to go on."""

    scheduler: Scheduler
    name: str


class _Last(msgspec.Struct):
    """What is to be remembered and told last of all; the loop takes nothing after it."""

    happened: Happened


class _Ask(msgspec.Struct):
    event: Event | Happened | _Switch | _Last
    answer: asyncio.Future[tuple[Refused, ...]] | None = None


def _fail(asks: Sequence[_Ask], error: SteelyardError) -> None:
    for ask in asks:
        if ask.answer is not None and not ask.answer.done():
            ask.answer.set_exception(error)


class FleetDriver:
    """The loop of one coordinator.

    Args:
        fleet: the machine; `restore` has it go on.
        ledger: remembers.
        scheduler: chooses; `scheduler_name` is what its decisions are logged under. A guarded one
            is closed when the loop ends or another goes on.
        engines: by name; each brings workers or is joined by them.
        listener: is told of everything that plugins can hear of, in order.
        clock: for the time of the machine, which never steps back.
        passed: told how many seconds each turn of the scheduler took.

    Attributes:
        ready: set once every engine has begun and its workers are registered.
    """

    def __init__(
        self,
        fleet: Fleet,
        ledger: Ledger,
        scheduler: Scheduler,
        engines: Mapping[str, Engine],
        listener: Listener,
        clock: Clock,
        *,
        scheduler_name: str = "",
        passed: Callable[[float], None] | None = None,
    ) -> None:
        self.fleet = fleet
        self._ledger = ledger
        self._room = EngineRoom(engines, self.tell, self.tell_later, self._holds)
        self.ready = self._room.ready
        self._chooser = Chooser(
            fleet, scheduler, scheduler_name, now_ns=self.now_ns, passed=passed,
            # A worker of before that no engine has brought yet would only refuse what it is given.
            is_there=self._room.engine_of.__contains__, again=self._schedule_again,
        )  # fmt: skip
        self._listener = listener
        self._clock = clock
        self._offset_ns = clock.wall_ns() - clock.mono_ns()
        self._inbox: asyncio.Queue[_Ask] = asyncio.Queue()
        self._told: asyncio.Queue[Happened | None] = asyncio.Queue()
        self._wake: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._reschedule = True
        self._is_closing = False
        self._has_ended = False
        self._error: SteelyardError | None = None

    def now_ns(self) -> int:
        """Return the machine's time: Unix time at the start, monotonic from then on."""
        return self._clock.mono_ns() + self._offset_ns

    @property
    def scheduler_name(self) -> str:
        """Of the scheduler that chooses now."""
        return self._chooser.name

    # For those who have something to tell

    async def tell(self, event: Event) -> tuple[Refused, ...]:
        """Tell the machine; return what it refused, once the rest is in the ledger.

        Raises:
            SteelyardError: the loop ended before.
        """
        return await self._ask(event)

    async def note(self, name: str, arguments: dict[str, object]) -> None:
        """Have something remembered and told to the listener that the machine knows nothing of.

        Raises:
            SteelyardError: the loop ended before.
        """
        await self._ask(Happened(at_ns=self.now_ns(), name=name, arguments=arguments))

    async def _ask(self, event: Event | Happened | _Switch | _Last) -> tuple[Refused, ...]:
        if self._has_ended:
            raise self._why_ended()
        answer: asyncio.Future[tuple[Refused, ...]] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Ask(event, answer))
        return await answer

    def ends_by(self, error: SteelyardError) -> None:
        """Let those who still wait know why the loop is about to be cancelled."""
        self._error = self._error or error

    def _why_ended(self) -> SteelyardError:
        return self._error or SteelyardError(_STOPPED)

    async def heard(self) -> None:
        """Wait until the listener was told of all that is in the ledger so far."""
        await self._told.join()

    def tell_later(self, event: Event) -> None:
        """Tell the machine, and wait for nothing."""
        self._inbox.put_nowait(_Ask(event))

    async def use_scheduler(self, scheduler: Scheduler, name: str) -> None:
        """Go on with another scheduler; it is told of the past, of the queue and of all leases.

        Raises:
            SteelyardError: the loop ended before, or the ledger can't be read.
        """
        await self._ask(_Switch(scheduler, name))

    async def send_home(self, reason: str) -> None:
        """Give out nothing more, hear the engines no more, and give back what workers hold.

        Raises:
            SteelyardError: the loop ended before.
        """
        self._is_closing = True
        await self._room.deafen()
        await self.tell(Ticked())  # with what the engines said before: a worker may have come
        for worker in self.fleet.book.workers.values():
            if worker.state is WorkerState.ALIVE:
                self.tell_later(WorkerLeft(worker.worker_id, reason))
        await self.tell(Ticked())

    async def stop_engines(self) -> None:
        """Stop the engines; each has a while for that."""
        await self._room.stop()

    async def finish(self, name: str, arguments: dict[str, object]) -> None:
        """Have a last thing remembered and told: nothing that comes after is taken.

        Raises:
            SteelyardError: the loop ended before.
        """
        self._is_closing = True
        await self._ask(_Last(Happened(at_ns=self.now_ns(), name=name, arguments=arguments)))

    def why_held(self, task: Task) -> tuple[str, ...]:
        """Return why a ready task waits though a worker is free: who says so, and until when."""
        return self._chooser.why_held(task)

    # The loop

    async def restore(self, kept: Remembered) -> None:
        """Go on from what the ledger has, before the loop runs; the scheduler is told of the past.

        Raises:
            FileError, LedgerGoneError: the ledger can't be read.
        """
        past = await asyncio.to_thread(self._ledger.recent, PAST_MAX)
        now_ns = self.now_ns()
        self.fleet.restore(kept.tasks, kept.workers, kept.next_token, now_ns)
        self._chooser.use(past=past)

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            LostLeadershipError: another coordinator leads.
            FileError: the ledger can't be written.
        """
        self._tasks = [
            asyncio.create_task(self._announce(), name="fleet-listener"),
            asyncio.create_task(self._turns(), name="fleet-turns"),
            *self._room.begin(),
        ]
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if not task.cancelled():  # those of the engines are, amid a retirement
                    task.result()
        except SteelyardError as error:
            self._error = error
            raise
        finally:
            # Interrupted it would leave an engine half stopped, and its directory taken.
            await to_its_end(self._end())

    async def _turns(self) -> None:
        self.tell_later(Ticked())
        while not self._has_ended:
            await self._turn()
        await asyncio.Event().wait()  # what was told last is told; whoever leads ends the rest

    async def _turn(self) -> None:
        """Take what waits, save once, do what is wanted, and schedule."""
        asks = [await self._inbox.get()]
        while len(asks) < BATCH_MAX and not self._inbox.empty():
            asks.append(self._inbox.get_nowait())
        try:
            await self._take(asks)
        except SteelyardError as error:
            _fail(asks, error)
            raise
        finally:
            # The loop may end in the middle, by a bug or as it is cancelled: nobody waits for ever.
            _fail(asks, self._why_ended())
        self.fleet.forget()

    async def _take(self, asks: Sequence[_Ask]) -> None:
        await self._recall(asks)
        await self._switch(asks)
        asks = self._up_to_last(asks)
        actions: list[Action] = []
        answers: list[tuple[_Ask, tuple[Refused, ...]]] = []
        happened: list[Happened] = []
        for ask in asks:
            done: list[Action] = []
            if isinstance(ask.event, Happened):
                happened.append(ask.event)
            elif isinstance(ask.event, _Last):
                happened.append(ask.event.happened)
            elif not isinstance(ask.event, _Switch):
                done = self._handle(ask.event)
                happened += happened_of(done, self.now_ns())
            answers.append((ask, tuple(a for a in done if isinstance(a, Refused))))
            actions += done
        decisions: list[Decision] = []
        is_due = self._reschedule or any(isinstance(action, Reschedule) for action in actions)
        if is_due and not self._is_closing:
            self._reschedule = False
            wanted, decisions = await self._chooser.turn()
            happened += happened_of(wanted, self.now_ns())
            actions += wanted
        await self._commit(actions, decisions, happened)
        for ask, refused in answers:
            if ask.answer is not None and not ask.answer.done():
                ask.answer.set_result(refused)
        for item in happened:
            self._told.put_nowait(item)
        self._do(actions)

    def _up_to_last(self, asks: Sequence[_Ask]) -> Sequence[_Ask]:
        """Return what is taken: nothing after the last, whose answer tells that it ended here."""
        for place, ask in enumerate(asks):
            if isinstance(ask.event, _Last):
                self._has_ended = True
                return asks[: place + 1]
        return asks

    async def _switch(self, asks: Sequence[_Ask]) -> None:
        """Go on with another scheduler, between two commits: it hears of each end once."""
        wanted = [ask.event for ask in asks if isinstance(ask.event, _Switch)]
        if not wanted:
            return
        past = await asyncio.to_thread(self._ledger.recent, PAST_MAX)
        self._chooser.use(wanted[-1].scheduler, wanted[-1].name, past)
        self._reschedule = True

    async def _recall(self, asks: Sequence[_Ask]) -> None:
        """Have the machine know of the ended tasks that new ones refer to."""
        book = self.fleet.book
        specs = [s for ask in asks if isinstance(ask.event, Submitted) for s in ask.event.specs]
        names = {name for spec in specs for name in (spec.task_id, *spec.depends_on)}
        keys = {(spec.user, spec.idempotency_key) for spec in specs if spec.idempotency_key}
        names, keys = names - book.tasks.keys(), keys - book.keys.keys()
        if names or keys:
            found = await asyncio.to_thread(self._ledger.recall, names, keys)
            self.fleet.recall(found, self.now_ns())

    def _handle(self, event: Event) -> list[Action]:
        actions = self.fleet.handle(event, self.now_ns())
        self._chooser.desk.watch(actions)
        return actions

    def _schedule_again(self) -> None:
        self._reschedule = True
        self.tell_later(Ticked())

    async def _commit(
        self, actions: Sequence[Action], decisions: list[Decision], happened: list[Happened]
    ) -> None:
        change = change_of(self.fleet.book, actions, decisions, happened)
        if change is not None:
            # The machine waits for this: nothing changes what the thread reads.
            await asyncio.to_thread(self._ledger.commit, change)

    def _do(self, actions: Sequence[Action]) -> None:
        wake_ns: int | None = None
        for action in actions:
            if isinstance(action, Dispatch):
                spec = self.fleet.book.tasks[action.lease.task_id].spec
                self._room.submit(action.lease, spec)
            elif isinstance(action, Revoke):
                self._room.cancel(action.lease)
            elif isinstance(action, ForgetWorker):
                self._room.forget(action.worker_id)
            elif isinstance(action, WakeAt):
                wake_ns = action.at_ns
        if wake_ns is not None:
            self._wake_at(wake_ns)

    def _holds(self, lease: Lease) -> bool:
        task = self.fleet.book.tasks.get(lease.task_id)
        return task is not None and task.token == lease.token and task.state in TASK_HELD

    def _wake_at(self, at_ns: int) -> None:
        if self._wake is not None:
            self._wake.cancel()
        delay_s = max(at_ns - self.now_ns(), 0) / NS_PER_S
        loop = asyncio.get_running_loop()
        self._wake = loop.call_later(delay_s, self.tell_later, Ticked())

    async def _announce(self) -> None:
        while (item := await self._told.get()) is not None:
            await self._listener(item)
            self._told.task_done()

    async def _end(self) -> None:
        self._has_ended = True
        if self._wake is not None:
            self._wake.cancel()
        listener, turns = self._tasks[:2]
        turns.cancel()
        await asyncio.gather(turns, return_exceptions=True)
        await self._room.deafen()  # another may lead: nothing that waits is begun any more
        self._chooser.close()
        self._told.put_nowait(None)
        await asyncio.gather(listener, return_exceptions=True)
        await self._room.stop()
        while not self._inbox.empty():
            _fail((self._inbox.get_nowait(),), self._why_ended())
