"""A service: a role of a run with a life, a bus, handlers, heartbeats and tasks of its own."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import msgspec

from steelyard.domain.bench.messages import ConfigureRun
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import exit_code_of
from steelyard.kernel.lifecycle import ServiceState, Step, advance, legal_steps
from steelyard.runtime.bus_messages import (
    Heartbeat,
    RegisterService,
    ServiceStatus,
    StartService,
    StopService,
)
from steelyard.runtime.bus_port import BusPort, describe_error
from steelyard.runtime.callback_errors import answering, watch_callbacks
from steelyard.runtime.service_log import LazyLogger

if TYPE_CHECKING:
    from steelyard.runtime.plugin_host import PluginHost

CONTROLLER_TYPE = "system_controller"
HEARTBEAT_S = 0.25
CLEANUP_TIMEOUT_S = 5.0

_MARK = "__steelyard_service_hooks__"
_F = TypeVar("_F", bound=Callable[..., Coroutine[Any, Any, Any]])


def _mark(function: _F, *keys: object) -> _F:
    setattr(function, _MARK, (*getattr(function, _MARK, ()), *keys))
    return function


def on_init(function: _F) -> _F:
    """Call `async method(self)` in the step initialize, when the bus is connected."""
    return _mark(function, Step.INITIALIZE)


def on_configure(function: _F) -> _F:
    """Call `async method(self, message: ConfigureRun)` in the step configure."""
    return _mark(function, Step.CONFIGURE)


def on_start(function: _F) -> _F:
    """Call `async method(self)` in the step start."""
    return _mark(function, Step.START)


def on_stop(function: _F) -> _F:
    """Call `async method(self)` in the step stop; tasks of `spawn` are still running."""
    return _mark(function, Step.STOP)


def on_cleanup(function: _F) -> _F:
    """Call `async method(self)` in the step cleanup; also after a failure."""
    return _mark(function, Step.CLEANUP)


def on_message(*message_types: type[msgspec.Struct]) -> Callable[[_F], _F]:
    """Call `async method(self, message)` for these types; its return value answers a command."""

    def decorate(function: _F) -> _F:
        return _mark(function, *message_types)

    return decorate


@dataclass(frozen=True, slots=True)
class Peer:
    """A service of the same run, known before any of them starts."""

    service_id: str
    service_type: str
    index: int


@dataclass(kw_only=True)
class ServiceContext:
    """What a service is given.

    Attributes:
        service_id: unique within the run.
        index: its number among services of its type (a worker's number).
        options: plain data from its `RoleSpec`.
        peers: every service of the run, itself included, the controller not.
        run_dir: the artifact directory of the run, None outside a run.
        controller_id: whom heartbeats and status go to; empty for a service on its own.
    """

    service_id: str
    bus: BusPort
    clock: Clock
    index: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    peers: tuple[Peer, ...] = ()
    run_dir: Path | None = None
    controller_id: str = ""
    given_host: "PluginHost | None" = None

    @cached_property
    def host(self) -> "PluginHost":
        """The plugin host: the one given, else the standard one, made at first use."""
        if self.given_host is not None:
            return self.given_host
        from steelyard.runtime.plugin_host import PluginHost

        return PluginHost.standard()

    def peers_of(self, service_type: str) -> tuple[Peer, ...]:
        """Return the services of a type, by their number."""
        return tuple(peer for peer in self.peers if peer.service_type == service_type)


class Service:
    """Subclass it, set `service_type`, and mark methods with the `on_*` decorators.

    Hooks of base classes run before those of subclasses, in the order they are written; on stop
    and cleanup the other way round. A hook, a message handler, a task or a callback on the loop
    (see `callback_errors`) that raises makes the whole service fail: it cleans up, ends, and the
    controller is told the error. A handler that raises on a *command* only fails that command.
    """

    service_type: ClassVar[str] = "service"

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.bus = context.bus
        self.service_id = context.service_id
        self.log = LazyLogger(logging.getLogger(f"steelyard.service.{context.service_id}"))
        self.state = ServiceState.CREATED
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._stop_is_over = asyncio.Event()
        self._beat = 0
        self._beat_timer: asyncio.TimerHandle | None = None

    @classmethod
    def build(cls, context: ServiceContext) -> Self:
        """Return a service for `context`; a class with another constructor overrides this."""
        return cls(context)

    async def initialize(self) -> None:
        """Subscribe the message handlers and call the `on_init` hooks.

        Raises:
            IllegalTransitionError: not now (each step raises it).
        """
        self._advance(Step.INITIALIZE)
        self.bus.on_handler_error = self._handler_failed
        self.bus.handle_here()
        self.bus.subscribe(ConfigureRun, self.configure)
        self.bus.subscribe(StartService, self._start_commanded)
        self.bus.subscribe(StopService, self._stop_commanded)
        for message_type, handler in self._message_handlers():
            self.bus.subscribe(message_type, handler)
        await self._take(Step.INITIALIZE)

    async def run(self) -> None:
        """Register with the controller and begin heartbeats: from here on, commands decide."""
        self._advance(Step.RUN)
        if self.context.controller_id:
            await self.bus.send(
                self.context.controller_id,
                RegisterService(
                    self.service_id, self.service_type, self.context.index, os.getpid()
                ),
            )
            self._heartbeat()

    async def configure(self, message: ConfigureRun) -> None:
        """Take in the plan."""
        self._advance(Step.CONFIGURE)
        await self._take(Step.CONFIGURE, message)

    async def start(self) -> None:
        """Begin the work."""
        self._advance(Step.START)
        await self._take(Step.START)

    async def stop(self) -> None:
        """End the work: `on_stop` hooks, then cancel what `spawn` started."""
        self._advance(Step.STOP)
        try:
            if self._step is not None:
                # Asked to stop while configuring or starting: that step is cut short.
                self._step.cancel()
                await asyncio.wait((self._step,))
            await self._take(Step.STOP)
            await self._cancel_tasks()
        finally:
            self._stop_is_over.set()

    async def cleanup(self) -> None:
        """Release everything; legal after a stop, after a failure, and before a start."""
        self._advance(Step.CLEANUP)
        await self._cancel_tasks()
        try:
            await self._take(Step.CLEANUP)
        finally:
            if self._beat_timer is not None:
                self._beat_timer.cancel()

    async def serve(self, plan: ConfigureRun | None = None) -> None:
        """Live a whole life: initialize, run, wait for `request_stop` or a failure, clean up.

        Args:
            plan: given to a service without a controller, which configures and starts itself.

        Raises:
            BaseException: what made the service fail, after it has cleaned up.
        """
        watch_callbacks(self._callback_failed)
        with answering(self._callback_failed):
            await self._live_through(plan)
        if self.failure is not None:
            raise self.failure

    async def _live_through(self, plan: ConfigureRun | None) -> None:
        life = asyncio.ensure_future(self._begin(plan))
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait((life, ending), return_when=asyncio.FIRST_COMPLETED)
        if not life.done():
            life.cancel()
            await asyncio.wait((life,))
        if not life.cancelled() and (error := life.exception()) is not None:
            self.fail(error)
        await ending
        await self._end()

    def request_stop(self) -> None:
        """Make `serve` stop and clean up; callable from any coroutine or callback of the loop."""
        self._ending.set()

    def fail(self, error: BaseException) -> None:
        """Give up because of `error`: the controller is told at once. Only the first counts."""
        if self.failure is not None or self.state is ServiceState.CLOSED:
            return
        self.failure = error
        self.log.error(lambda: f"failed: {describe_error(error)}", error)
        self._advance(Step.FAIL)
        self._ending.set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Run a task of this service; its exception fails the service, its end is awaited."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    async def _begin(self, plan: ConfigureRun | None) -> None:
        await self.initialize()
        await self.run()
        if plan is not None:
            await self.configure(plan)
            await self.start()

    async def _end(self) -> None:
        """Stop if that is still to be done, then clean up; each with a bound."""
        if Step.STOP in legal_steps(self.state):
            await self._bounded(self.stop())
        elif self.state is ServiceState.STOPPING:
            # By a command, and a signal came meanwhile.
            await self._bounded(self._stop_is_over.wait())
        if self.state is ServiceState.STOPPING:
            self.fail(TimeoutError(f"the step stop of {self.service_id} was cut short"))
        await self._bounded(self.cleanup())

    async def _bounded(self, step: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(step)
        done, _ = await asyncio.wait((task,), timeout=CLEANUP_TIMEOUT_S)
        if not done:
            task.cancel()
            await asyncio.wait((task,), timeout=1.0)
            self.fail(TimeoutError(f"{self.service_id} took over {CLEANUP_TIMEOUT_S:g} s to end"))
        elif not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _advance(self, step: Step) -> None:
        self.state = advance(self.service_id, self.state, step)
        self.log.debug(lambda: f"is {self.state}")
        if not self.context.controller_id:
            return
        status = ServiceStatus(self.service_id, self.service_type, self.state)
        if self.failure is not None:
            status = msgspec.structs.replace(
                status, error=describe_error(self.failure), exit_code=exit_code_of(self.failure)
            )
        self.bus.post(self.context.controller_id, status)

    async def _take(self, step: Step, *arguments: object) -> None:
        """Call the hooks of `step` in a task, so that a stop can cut it short."""
        self._step = asyncio.ensure_future(self._call_hooks(step, arguments))
        task = self._step
        await asyncio.wait((task,))
        if self._step is task:
            self._step = None
        if task.cancelled():
            raise asyncio.CancelledError
        error = task.exception()
        if error is not None:
            self.fail(error)
            raise error
        # A task of ours may have failed while the hooks ran; that verdict stands.
        if self.state is not ServiceState.FAILED:
            self._advance(Step.DONE)

    async def _call_hooks(self, step: Step, arguments: tuple[object, ...]) -> None:
        hooks = [hook for key, hook in self._marked() if key is step]
        for hook in reversed(hooks) if step in (Step.STOP, Step.CLEANUP) else hooks:
            await hook(*arguments)

    def _marked(self) -> Iterator[tuple[object, Callable[..., Coroutine[Any, Any, Any]]]]:
        """Yield `(mark, bound method)`, base classes first; an overridden method comes once."""
        seen: set[str] = set()
        for cls in reversed(type(self).__mro__):
            for name, value in vars(cls).items():
                if name in seen or not hasattr(value, _MARK):
                    continue
                seen.add(name)
                bound = getattr(self, name)
                for key in getattr(bound, _MARK, ()):
                    yield key, bound

    def _message_handlers(
        self,
    ) -> Iterator[tuple[type[msgspec.Struct], Callable[..., Coroutine[Any, Any, Any]]]]:
        for key, handler in self._marked():
            if isinstance(key, type):
                yield key, handler

    async def _start_commanded(self, _: StartService) -> None:
        await self.start()

    async def _stop_commanded(self, _: StopService) -> None:
        if Step.STOP in legal_steps(self.state):  # a signal may have been first
            await self.stop()
        # The answer leaves first: closing the bus waits for nothing that is only queued.
        asyncio.get_running_loop().call_soon(self.request_stop)

    def _handler_failed(self, error: BaseException, message: msgspec.Struct) -> None:
        self.log.info(lambda: f"the handler of {type(message).__name__} raised")
        self.fail(error)

    def _callback_failed(self, error: Exception) -> bool:
        is_first = self.failure is None and self.state is not ServiceState.CLOSED
        self.fail(error)
        return is_first

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _heartbeat(self) -> None:
        self._beat += 1
        self.bus.post(self.context.controller_id, Heartbeat(self.service_id, self._beat))
        self._beat_timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._heartbeat)
