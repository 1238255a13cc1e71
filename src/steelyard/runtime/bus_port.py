"""A service's own end of the bus: handlers, lanes, commands. What carries parcels is a `Link`."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Protocol

import msgspec

from steelyard.domain.bench.messages import ServiceLost
from steelyard.kernel.errors import EXIT_BUG, SteelyardError, exit_code_of
from steelyard.runtime.bus_messages import (
    MESSAGES,
    CommandFailure,
    Heartbeat,
    MessageRegistry,
    Nothing,
)

Handler = Callable[[Any], Coroutine[Any, Any, Any]]
ErrorHandler = Callable[[BaseException, msgspec.Struct], None]

INBOX_MAX = 1_000
OVERFULL = 4
SEND_WAIT_S = 5.0

_log = logging.getLogger(__name__)


class BusError(SteelyardError):
    """A message could not be handed to the bus."""


class CommandTimeoutError(SteelyardError):
    """A command was not answered in time.

    Attributes:
        target, message, timeout_s: who was asked, the message type's name, the limit in seconds.
    """

    def __init__(self, target: str, message: str, timeout_s: float) -> None:
        self.target = target
        self.message = message
        self.timeout_s = timeout_s
        super().__init__(
            f"{target!r} did not answer {message} within {timeout_s:g} s",
            next_step="Look for it in logs/steelyard.log of the artifact directory.",
        )


class CommandFailedError(SteelyardError):
    """A command was refused, or its handler raised.

    Attributes:
        target, message, error: who was asked, the message type's name, the remote error's text.
        exit_code: the remote error's.
    """

    def __init__(self, target: str, message: str, error: str, exit_code: int = EXIT_BUG) -> None:
        self.target = target
        self.message = message
        self.error = error
        self.exit_code = exit_code
        super().__init__(f"{target!r} failed on {message}: {error}")


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with its address; `request_id` marks a command, `reply_to` an answer.

    An empty `target` is a publication.
    """

    message: msgspec.Struct
    source: str
    target: str = ""
    request_id: str = ""
    reply_to: str = ""


@dataclass(slots=True)
class BusCounters:
    """What one end of the bus, or its broker, has carried, and every loss by its cause."""

    sent: int = 0
    received: int = 0
    malformed: int = 0
    unknown_type: int = 0
    unknown_target: int = 0
    unhandled: int = 0
    too_large: int = 0
    dropped_full: int = 0
    waited_full: int = 0
    late_answers: int = 0

    def losses(self) -> dict[str, int]:
        """Return the counts of losses that are not zero."""
        harmless = {"sent", "received", "waited_full"}
        counts = {f.name: int(getattr(self, f.name)) for f in fields(self)}
        return {name: count for name, count in counts.items() if count and name not in harmless}


class Link(Protocol):
    """What carries the parcels of one port."""

    async def ship(self, parcel: Parcel) -> None:
        """Hand a parcel over; waits while the way is full.

        Raises:
            BusError: it is too large, or the way stayed full.
        """
        ...

    def post(self, parcel: Parcel) -> None:
        """Hand a parcel over without waiting; one that doesn't fit is counted and dropped."""
        ...

    def watch_type(self, name: str) -> None:
        """Ask for published messages of the type called `name`."""
        ...

    def has_room(self) -> None:
        """The port has room again after it was full."""
        ...


@dataclass(slots=True)
class _Lane:
    """The messages of one sender, in order, and the task that works them off."""

    queue: deque[Parcel] = field(default_factory=deque)
    current: Parcel | None = None
    busy: bool = False


class BusPort:
    """The `Bus` of one service, over any link.

    Messages of one sender are handled one after the other in the order they were sent. A command
    begins after the messages sent before it, and doesn't hold up those sent after it; so two
    services may command each other from their handlers without waiting for ever.
    """

    def __init__(
        self,
        service_id: str,
        service_type: str,
        *,
        registry: MessageRegistry = MESSAGES,
        inbox_max: int = INBOX_MAX,
    ) -> None:
        self.service_id = service_id
        self.service_type = service_type
        self.counters = BusCounters()
        self.registry = registry
        self.on_handler_error: ErrorHandler = _log_handler_error
        self._link: Link | None = None
        self._context: Context | None = None
        self._closing = False
        self._handlers: dict[type[msgspec.Struct], list[Handler]] = {}
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pending: dict[str, tuple[str, asyncio.Future[msgspec.Struct]]] = {}
        self._request_numbers = itertools.count(1)
        self._inbox_max = inbox_max
        self._queued = 0

    def attach(self, link: Link) -> None:
        """Use `link` from now on; called once, by whoever made the port."""
        self._link = link
        for message_type in self._handlers:
            link.watch_type(message_type.__name__)

    def handle_here(self) -> None:
        """Run handlers in copies of the caller's context from now on, whoever delivers to them."""
        self._context = copy_context()

    @property
    def full(self) -> bool:
        """True when no more messages should be delivered until `Link.has_room`.

        Never while a command waits for its answer, which may lie behind other messages: then up
        to `OVERFULL` times as many are taken in, and the newest beyond that are lost.
        """
        return self._queued >= self._inbox_max and not self._pending

    def subscribe(self, message_type: type[msgspec.Struct], handler: Handler) -> None:
        """Call `handler(message)` for each message of this type, published or sent to us."""
        self.registry.register((message_type,))
        self._handlers.setdefault(message_type, []).append(handler)
        if self._link is not None:
            self._link.watch_type(message_type.__name__)

    async def publish(self, message: msgspec.Struct) -> None:
        """Send to every other service that subscribed to this type."""
        await self._way().ship(Parcel(message, self.service_id))

    async def send(self, target: str, message: msgspec.Struct) -> None:
        """Send to one service by id, or to all of a type."""
        await self._way().ship(Parcel(message, self.service_id, target))

    def post(self, target: str, message: msgspec.Struct) -> None:
        """Send without waiting; dropped and counted when the way is full."""
        self._way().post(Parcel(message, self.service_id, target))

    async def command(
        self, target: str, message: msgspec.Struct, *, timeout_s: float
    ) -> msgspec.Struct | None:
        """Send and wait for the answer.

        Raises:
            CommandTimeoutError: no answer within `timeout_s`.
            CommandFailedError: the handler raised, nobody handles it, or the target died.
        """
        name = type(message).__name__
        request_id = f"{self.service_id}.{next(self._request_numbers)}"
        future: asyncio.Future[msgspec.Struct] = asyncio.get_running_loop().create_future()
        was_full = self.full
        self._pending[request_id] = (target, future)
        if was_full:
            self._way().has_room()
        try:
            async with asyncio.timeout(timeout_s):
                await self._way().ship(Parcel(message, self.service_id, target, request_id))
                answer = await future
        except TimeoutError:
            raise CommandTimeoutError(target, name, timeout_s) from None
        finally:
            del self._pending[request_id]
        if isinstance(answer, CommandFailure):
            raise CommandFailedError(target, name, answer.error, answer.exit_code)
        return None if isinstance(answer, Nothing) else answer

    def deliver(self, parcel: Parcel) -> None:
        """Take in a parcel addressed to this port; called by the link, in order per sender."""
        self.counters.received += 1
        if parcel.reply_to:
            self._settle(parcel)
            return
        if isinstance(parcel.message, Heartbeat):
            return
        if self._closing:
            self._refuse(parcel, "the service is stopping")
            return
        if self._queued >= OVERFULL * self._inbox_max:
            self._lose(parcel)
            return
        if isinstance(parcel.message, ServiceLost):
            self.forget(parcel.message)
        lane = self._lanes.setdefault(parcel.source, _Lane())
        lane.queue.append(parcel)
        self._queued += 1
        if not lane.busy:
            self._run_lane(lane)

    def forget(self, lost: ServiceLost, exit_code: int = EXIT_BUG) -> None:
        """Fail the commands that wait for a service which is gone, with its error's exit code."""
        answer = CommandFailure(f"{lost.service_id} is gone: {lost.reason}", exit_code)
        for target, future in self._pending.values():
            if target in (lost.service_id, lost.service_type) and not future.done():
                future.set_result(answer)

    async def close(self) -> None:
        """Cancel the handlers under way and drop what is queued; nothing is begun any more."""
        self._closing = True
        tasks = tuple(self._tasks)
        for lane in self._lanes.values():
            self._queued -= len(lane.queue)
            lane.queue.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _way(self) -> Link:
        if self._link is None:
            raise BusError(
                f"the bus of {self.service_id!r} is not connected",
                next_step="Use it from on_init onwards, not in __init__.",
            )
        return self._link

    def _lose(self, parcel: Parcel) -> None:
        self.counters.dropped_full += 1
        name = type(parcel.message).__name__
        _log.warning("dropped a %s: the inbox of %s is full", name, self.service_id)
        self._refuse(parcel, f"the inbox of {self.service_id} is full")

    def _refuse(self, parcel: Parcel, why: str) -> None:
        if parcel.request_id:
            self._respond(parcel, CommandFailure(why))

    def _respond(self, parcel: Parcel, answer: msgspec.Struct) -> None:
        self._way().post(Parcel(answer, self.service_id, parcel.source, reply_to=parcel.request_id))

    def _settle(self, parcel: Parcel) -> None:
        waiting = self._pending.get(parcel.reply_to)
        if waiting is None or waiting[1].done():
            self.counters.late_answers += 1
            return
        waiting[1].set_result(parcel.message)

    def _run_lane(self, lane: _Lane) -> None:
        lane.busy = True
        # Services of one loop deliver to each other: else the sender's context came along.
        context = self._context.copy() if self._context is not None else None
        task = asyncio.get_running_loop().create_task(self._work_off(lane), context=context)
        self._tasks.add(task)
        task.add_done_callback(partial(self._lane_ended, lane))

    async def _work_off(self, lane: _Lane) -> None:
        while lane.queue:
            parcel = lane.current = lane.queue.popleft()
            was_full = self.full
            self._queued -= 1
            if was_full and not self.full:
                self._way().has_room()
            if parcel.request_id:
                self._begin_command(parcel)
                continue
            handlers = self._handlers.get(type(parcel.message), ())
            if not handlers and not isinstance(parcel.message, ServiceLost):
                self.counters.unhandled += 1
            for handler in handlers:
                await handler(parcel.message)
            # A full queue must not keep this loop from its sockets and timers.
            await asyncio.sleep(0)

    def _lane_ended(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        """A handler's error ends the lane's task; the rest of the queue gets a new one."""
        self._tasks.discard(task)
        lane.busy = False
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and lane.current is not None:
            self.on_handler_error(error, lane.current.message)
        if lane.queue:
            self._run_lane(lane)

    def _begin_command(self, parcel: Parcel) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(parcel))
        self._tasks.add(task)
        task.add_done_callback(partial(self._reply, parcel))

    async def _answer(self, parcel: Parcel) -> msgspec.Struct:
        handlers = self._handlers.get(type(parcel.message))
        if not handlers:
            self.counters.unhandled += 1
            return CommandFailure(f"no handler for {type(parcel.message).__name__}")
        answers = [await handler(parcel.message) for handler in handlers]
        return next((answer for answer in answers if answer is not None), Nothing())

    def _reply(self, parcel: Parcel, task: asyncio.Task[msgspec.Struct]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            answer: msgspec.Struct = CommandFailure("the service is stopping")
        else:
            error = task.exception()
            if error is None:
                answer = task.result()
            else:
                answer = CommandFailure(describe_error(error), exit_code_of(error))
                _log.warning("%s: %s", self.service_id, describe_error(error), exc_info=error)
        self._respond(parcel, answer)


def describe_error(error: BaseException) -> str:
    """Return an error in one line: its type and text, and where our code or a plugin raised it."""
    name = type(error).__name__
    # A SteelyardError states itself; of any other the place is half of the explanation.
    if isinstance(error, SteelyardError):
        return f"{name}: {error}"
    text = f"{name}: {error}" if str(error) else name
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return text
    file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{text} ({file}:{step.tb_lineno} in {step.tb_frame.f_code.co_name})"


def _log_handler_error(error: BaseException, message: msgspec.Struct) -> None:
    _log.error(
        "handler of %s raised: %s", type(message).__name__, describe_error(error), exc_info=error
    )
