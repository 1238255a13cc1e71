"""Lets a plugin that places one task at a time schedule the whole queue."""

import asyncio
import inspect
import logging
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

import msgspec

from steelyard.domain.fleet.model import Attempt, Proposal, Task, Worker, task_data
from steelyard.domain.fleet.ports import Free
from steelyard.domain.fleet.requirements import unmet
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.fleet.own_thread import OwnThread
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_lifecycle import run_now

ASKED_MAX = 1_000
"""Tasks that one pass asks about; the next pass goes on behind them."""
ASK_WITHIN_S = 1.0
"""How long one pass goes on asking, and waits for a coroutine; the next one goes on behind it."""
PASS_TIMEOUT_S = 1.5
"""How long a pass of coroutines is waited for, should one of them hold up the loop they run on."""
_log = logging.getLogger("steelyard.fleet.scheduler")


class TaskPlacer(Protocol):
    """What such a plugin has; `schedule_task` may be a coroutine function."""

    name: str
    config: dict[str, Any]

    def schedule_task(
        self,
        task_id: str,
        task_data: Mapping[str, Any],
        available_workers: Mapping[str, Mapping[str, Any]],
        worker_load: Mapping[str, int],
    ) -> Any:
        """Return the id of a worker, None to let the task wait."""

    def update_task_status(self, task_id: str, status: str, data: Mapping[str, Any]) -> Any:
        """Take note of how an attempt ended."""

    def get_metrics(self) -> Mapping[str, Any]:
        """Return what it measures."""
        ...


class TaskByTaskScheduler:
    """Offers a plugin each waiting task, as they came, with the workers that would do for it.

    Hard requirements, room and slots are kept here: a worker that does not fit is not offered, and
    an answer that was not offered is refused and counted. A plugin that raises leaves its task
    waiting. A slow one is asked about fewer tasks in a pass, and a coroutine that takes longer than
    a pass is cancelled. Coroutines run on a loop of their own, in a thread of its own.

    Args:
        placer: the plugin, made and configured.
        border: counts what it raises.
    """

    def __init__(self, placer: TaskPlacer, border: PluginBorder | None = None) -> None:
        self.placer = placer
        self._border = border or PluginBorder()
        self._queue: dict[str, Task] = {}
        self._is_async = inspect.iscoroutinefunction(placer.schedule_task)
        self._thread: OwnThread | None = None
        self._runner = asyncio.Runner()  # makes its loop when it first runs something
        self._end: weakref.finalize[..., TaskByTaskScheduler] | None = None
        self._under_way: Future[list[Proposal]] | None = None
        self._counts = dict.fromkeys(
            ("scheduled", "completed", "asked", "declined", "refused_answers", "failures"), 0
        )
        self._last_error = ""
        self._declined: dict[str, int] = {}
        self._leased: set[str] = set()

    # The port

    def added(self, task: Task) -> None:
        """Take note of a task that became ready."""
        self._queue[task.spec.task_id] = task

    def removed(self, task_id: str) -> None:
        """Take note of one that is ready no longer."""
        self._queue.pop(task_id, None)
        self._declined.pop(task_id, None)

    def leased(self, task: Task) -> None:
        """Take note of a lease."""
        self._counts["scheduled"] += 1
        self._leased.add(task.spec.task_id)
        self.removed(task.spec.task_id)

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Tell the plugin how an attempt ended."""
        if task.spec.task_id in self._leased:  # not one of before this scheduler's time
            self._leased.discard(task.spec.task_id)
            self._counts["completed"] += 1
        outcome = attempt.outcome
        data = {
            **task_data(task), "worker_id": attempt.worker_id, "attempt": attempt.attempt,
            "execution_time": outcome.seconds if outcome else 0.0,
            "error": outcome.error if outcome else "",
        }  # fmt: skip
        status = str(outcome.ending) if outcome is not None else ""
        try:
            with self._border.crossing(self.placer.name, "hear of an attempt"):
                answer = self.placer.update_task_status(task.spec.task_id, status, data)
                if inspect.iscoroutine(answer):
                    run_now(answer)
        except SteelyardError as error:
            self._failed(error)

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> list[Proposal]:
        """Return a lease for each task that the plugin has a place for.

        Raises:
            PluginError: its coroutine holds up the loop that it runs on.
        """
        if not free or not self._queue:
            return []
        if not self._is_async:
            return run_now(self._pass(free))
        job = self._under_way
        if job is None or job.done():
            job = self._thread_of_its_own().submit(partial(self._run, free))
            self._under_way = job
        else:
            raise self._held_up()
        try:
            return job.result(PASS_TIMEOUT_S)
        except TimeoutError:
            raise self._held_up() from None

    def _run(self, free: Sequence[Free]) -> list[Proposal]:
        return self._runner.run(self._pass(free))

    def _held_up(self) -> PluginError:
        error = PluginError(
            f"Scheduler {self.placer.name} holds up its loop for more than {PASS_TIMEOUT_S:g} s",
            next_step="Await what takes long, or have schedule_task be no coroutine function.",
        )
        self._failed(error)
        return error

    def why_held(
        self, task: Task, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> tuple[str, ...]:
        """Return how often the plugin left a task waiting; why, only the plugin knows."""
        times = self._declined.get(task.spec.task_id, 0)
        if not times:
            return ()
        asked = "once" if times == 1 else f"{times} times"
        return (f"{self.placer.name} was asked about it {asked}, and chose no worker.",)

    def metrics(self) -> Mapping[str, Any]:
        """Return counts, and what the plugin measures."""
        own: Mapping[str, Any] = {}
        try:
            with self._border.crossing(self.placer.name, "tell its metrics"):
                own = self.placer.get_metrics()
                msgspec.json.encode(own)
        except SteelyardError as error:
            self._failed(error)
            own = {}
        return {**own, **self._counts, "queued": len(self._queue), "last_error": self._last_error}

    def close(self) -> None:
        """End the plugin's loop and thread; whoever forgets it has that done too."""
        if self._end is not None:
            self._end()

    def _thread_of_its_own(self) -> OwnThread:
        if self._thread is None:
            self._thread = OwnThread(f"fleet-scheduler {self.placer.name}")
            self._end = weakref.finalize(self, _end, self._thread, self._runner)
            self._end.atexit = False  # the process ends, and with it the thread
        return self._thread

    # A pass

    async def _pass(self, free: Sequence[Free]) -> list[Proposal]:
        places = [_Place(each, int(self.placer.config.get("max_tasks_per_worker") or 0))
                  for each in free]  # fmt: skip
        hopeless: set[bytes] = set()
        found: list[Proposal] = []
        asked: deque[str] = deque()
        until_s = time.monotonic() + ASK_WITHIN_S
        is_cut_short = False
        for task in self._tasks():
            needs = msgspec.msgpack.encode(task.spec.requirements)
            if needs in hopeless:
                continue
            fitting = {place.worker_id: place for place in places if place.fits(task)}
            if not fitting:
                hopeless.add(needs)
                if not any(place.left for place in places):
                    break
                continue
            is_cut_short = len(asked) >= ASKED_MAX or time.monotonic() >= until_s
            if is_cut_short:
                break
            asked.append(task.spec.task_id)
            chosen = await self._ask(task, fitting, until_s)
            if chosen is not None:
                fitting[chosen].take(task)
                found.append(self._proposal(task, chosen, len(fitting)))
        if is_cut_short:
            self._rotate(asked, {each.task_id for each in found})
        return found

    def _tasks(self) -> Iterator[Task]:
        return iter(list(self._queue.values()))

    def _rotate(self, asked: deque[str], placed: set[str]) -> None:
        """Ask about others first next time: there are more than one pass asks about."""
        for name in asked:
            if name not in placed and name in self._queue:
                self._queue[name] = self._queue.pop(name)

    async def _ask(self, task: Task, fitting: Mapping[str, "_Place"], until_s: float) -> str | None:
        self._counts["asked"] += 1
        available = {name: place.facts for name, place in fitting.items()}
        load = {name: place.held for name, place in fitting.items()}
        name = task.spec.task_id
        try:
            with self._border.crossing(self.placer.name, f"place {name}"):
                answer = self.placer.schedule_task(name, dict(task_data(task)), available, load)
                if inspect.isawaitable(answer):
                    answer = await self._awaited(answer, until_s)
        except SteelyardError as error:
            self._failed(error)
            return None
        if answer is None:
            self._counts["declined"] += 1
            self._declined[name] = self._declined.get(name, 0) + 1
            return None
        if not isinstance(answer, str) or answer not in fitting:
            self._counts["refused_answers"] += 1
            self._last_error = f"for {name} it chose {answer!r}, which was not offered"
            _log.warning("Scheduler %s: %s", self.placer.name, self._last_error)
            return None
        return answer

    async def _awaited(self, answer: Awaitable[Any], until_s: float) -> Any:
        if not self._is_async:
            return await answer  # one that really waits is an error of `run_now`: there is no loop
        async with asyncio.timeout(max(until_s - time.monotonic(), 0.0)):
            return await answer

    def _proposal(self, task: Task, worker_id: str, offered: int) -> Proposal:
        many = f"of {offered} that fit" if offered > 1 else "the only one that fits"
        reason = f"Scheduler {self.placer.name} chose worker {worker_id}, {many}."
        if self.placer.config.get("detailed_logging"):
            _log.info("%s: %s", task.spec.task_id, reason)
        return Proposal(task_id=task.spec.task_id, worker_id=worker_id, reasons=(reason,))

    def _failed(self, error: SteelyardError) -> None:
        self._counts["failures"] += 1
        self._last_error = str(error)
        _log.error("%s", error)


def _end(thread: OwnThread, runner: asyncio.Runner) -> None:
    thread.submit(runner.close)
    thread.close()


class _Place:
    """A worker that is offered."""

    def __init__(self, free: Free, tasks_max: int) -> None:
        worker = free.worker
        self.worker, self.worker_id = worker, worker.worker_id
        self.held = len(worker.holds)
        slots = min(worker.slots, tasks_max) if tasks_max else worker.slots
        self.left = max(slots - self.held, 0)
        self._room = msgspec.structs.replace(free.room)
        self.facts: dict[str, Any] = {
            **msgspec.to_builtins(worker.capabilities), "slots": worker.slots,
        }  # fmt: skip

    def fits(self, task: Task) -> bool:
        needs = task.spec.requirements
        return (
            self.left > 0
            and self._room.has(needs)
            and not unmet(needs, self.worker_id, self.worker.capabilities)
        )

    def take(self, task: Task) -> None:
        self._room.take(task.spec.requirements)
        self.left -= 1
        self.held += 1
