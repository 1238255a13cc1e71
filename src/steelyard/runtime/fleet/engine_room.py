"""The engines of a coordinator's loop: who has which worker, and calls that keep nobody waiting.

Each engine is called by a task of its own, one call after another, in the order in which the
machine wanted them. A call that hangs is given up by the time it is bounded by; neither the loop
nor another engine waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from steelyard.domain.fleet.events import AttemptEnded, Event, Refused, Ticked, WorkerRegistered
from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import Engine
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.fleet.turn import event_of
from steelyard.runtime.plugin_border import PluginBorder

CALL_WITHIN_S = 10.0
"""How long an engine may take to take an attempt, or to be told to end one."""
START_WITHIN_S = 300.0
"""How long it may take to begin: it may have machines started."""
STOP_WITHIN_S = 30.0
"""How long it may take to stop, where its `stop_within_s` says nothing else."""

CANCEL_WITHIN_S = 2.0
"""How long a call that is cancelled as the loop ends may take to clean up."""

T = TypeVar("T")
_log = logging.getLogger("steelyard.fleet")


class _Wanted(msgspec.Struct, frozen=True):
    """A call of an engine: to take an attempt, or, without its task, to end one."""

    lease: Lease
    spec: TaskSpec | None = None


class EngineRoom:
    """Calls engines, and tells the machine what they say.

    Args:
        engines: by name.
        tell: tells the machine and waits for that; `tell_later` does not wait.
        holds: tells whether a lease is still to be carried out.

    Attributes:
        engine_of: the engine of each worker, by worker.
        ready: set once every engine has begun and its workers are registered.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        tell: Callable[[Event], Awaitable[tuple[Refused, ...]]],
        tell_later: Callable[[Event], None],
        holds: Callable[[Lease], bool],
    ) -> None:
        self.engine_of: dict[str, str] = {}
        self.ready = asyncio.Event()
        self._engines = dict(engines)
        self._tell, self._tell_later, self._holds = tell, tell_later, holds
        self._border = PluginBorder()
        self._wanted: dict[str, asyncio.Queue[_Wanted]] = {n: asyncio.Queue() for n in engines}
        self._starting = set(engines)
        self._given_up: set[asyncio.Future[Any]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None
        if not self._engines:
            self.ready.set()

    def begin(self) -> list[asyncio.Task[None]]:
        """Have the engines begin; return tasks that raise why one can't or says no more."""
        for name, engine in self._engines.items():
            for work in (self._watch(name, engine), self._serve(name, engine)):
                self._tasks.append(asyncio.create_task(work, name=f"fleet-engine-{name}"))
        return list(self._tasks)

    def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Have a worker's engine take an attempt; should it not, the machine is told so."""
        name = self.engine_of.get(lease.worker_id)
        if name is None:
            self._refuse(lease, f"Worker {lease.worker_id} is with no engine")
        else:
            self._wanted[name].put_nowait(_Wanted(lease, spec))

    def cancel(self, lease: Lease) -> None:
        """Have an attempt ended; should that fail, what it says later is refused all the same."""
        name = self.engine_of.get(lease.worker_id)
        if name is not None:  # not a worker of before, whose engine it did not come back to
            self._wanted[name].put_nowait(_Wanted(lease))

    def forget(self, worker_id: str) -> None:
        """Let go of a worker that is no more."""
        self.engine_of.pop(worker_id, None)

    async def deafen(self) -> None:
        """Hear of the engines no more, and call them no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:  # an engine may keep what waits for it from being cancelled
            await asyncio.wait(self._tasks, timeout=2 * CANCEL_WITHIN_S)

    async def stop(self) -> None:
        """Stop the engines, once, and each whole: whoever waits for it may be cancelled."""
        await self.deafen()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="fleet-engines-stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        stops = [self._stop_one(name, engine) for name, engine in self._engines.items()]
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if error is not None:
                _log.error("%s", error)

    async def _stop_one(self, name: str, engine: Engine) -> None:
        within_s = STOP_WITHIN_S
        try:
            with self._border.crossing(f"engine '{name}'", "say how long its end takes"):
                within_s = float(getattr(engine, "stop_within_s", STOP_WITHIN_S))
        except SteelyardError as error:
            _log.error("%s", error)
        await self._call(name, "stop", engine.stop, within_s)

    async def _watch(self, name: str, engine: Engine) -> None:
        """Take an engine's workers, then its events, as long as it has any."""
        brought = list(await self._call(name, "start", engine.start, START_WITHIN_S))
        for worker_id, capabilities, slots in brought:
            self.engine_of[worker_id] = name
            self._tell_later(WorkerRegistered(worker_id, capabilities, slots))
        self._starting.discard(name)
        if not self._starting:
            await self._tell(Ticked())
            self.ready.set()
        while True:
            with self._border.crossing(f"engine '{name}'", "say what happens"):
                event = event_of(await engine.next_event())
            if isinstance(event, WorkerRegistered):
                self.engine_of[event.worker_id] = name
            if event is not None:
                self._tell_later(event)

    async def _serve(self, name: str, engine: Engine) -> None:
        """Do what is wanted of an engine, in order."""
        wanted = self._wanted[name]
        while True:
            each = await wanted.get()
            if each.spec is None:
                await self._cancel(name, engine, each.lease)
            elif self._holds(each.lease):
                await self._submit(name, engine, each.lease, each.spec)
            else:  # the call before may have hung for longer than that
                self._refuse(each.lease, "It was taken back before its engine heard of it")

    async def _submit(self, name: str, engine: Engine, lease: Lease, spec: TaskSpec) -> None:
        try:
            await self._call(
                name, "take an attempt", lambda: engine.submit(lease, spec), CALL_WITHIN_S
            )
        except SteelyardError as refusal:
            self._refuse(lease, str(refusal))
            if isinstance(refusal, _TookTooLongError):  # perhaps it began with it all the same
                self._wanted[name].put_nowait(_Wanted(lease))

    async def _cancel(self, name: str, engine: Engine, lease: Lease) -> None:
        try:
            await self._call(name, "end an attempt", lambda: engine.cancel(lease), CALL_WITHIN_S)
        except SteelyardError as error:
            _log.error("%s", error)

    def _refuse(self, lease: Lease, error: str) -> None:
        outcome = Outcome(ending=Ending.REFUSED, error=error)
        self._tell_later(AttemptEnded(lease.task_id, lease.token, outcome))

    async def _call(
        self,
        name: str,
        action: str,
        call: Callable[[], Coroutine[Any, Any, T]],
        within_s: float,
    ) -> T:
        """Return what an engine returns in time.

        Raises:
            _TookTooLongError: it did not; it is told by a cancellation, and waited for no more.
            PluginError: it raised, by the engine's name.
            SteelyardError: it raised that.
        """
        task = asyncio.ensure_future(self._crossed(name, action, call))
        try:
            await asyncio.wait({task}, timeout=within_s)
        except asyncio.CancelledError:
            self._give_up(task)
            await asyncio.wait({task}, timeout=CANCEL_WITHIN_S)
            raise
        if not task.done():
            self._give_up(task)
            raise _TookTooLongError(
                f"Plugin engine '{name}' took longer than {within_s:g} s to {action}",
                next_step="See whether what it talks to answers; its author can bound that.",
            )
        if task.cancelled():
            raise PluginError(f"Plugin engine '{name}' failed to {action}: it was cancelled")
        return task.result()

    async def _crossed(
        self, name: str, action: str, call: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        with self._border.crossing(f"engine '{name}'", action):
            return await call()

    def _give_up(self, task: "asyncio.Future[Any]") -> None:
        task.cancel()
        self._given_up.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Future[Any]") -> None:
        self._given_up.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain about it later


class _TookTooLongError(PluginError):
    """An engine's call was given up: nobody knows what came of it."""
