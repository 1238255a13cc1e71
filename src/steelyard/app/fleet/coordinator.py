"""The coordinator of a fleet: takes tasks, has them carried out, and answers for each."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.fleet import submitting
from steelyard.app.fleet.errors import RefusedError, UnknownWorkerError
from steelyard.app.fleet.hooks import Announcer, Listener, kept_arguments
from steelyard.app.fleet.metrics import FleetMetrics
from steelyard.app.fleet.observing import Observers, of_reign
from steelyard.app.fleet.office import Office
from steelyard.app.fleet.parts import Parts, SchedulerInfo
from steelyard.app.fleet.plugins import FleetPlugins, task_runs
from steelyard.app.fleet.preparing import Preparer
from steelyard.app.fleet.reading import FleetReader
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.sight import EventPage, event_page, workers_seen
from steelyard.app.fleet.tidying import Tidied
from steelyard.domain.fleet.events import CancelAsked, DrainAsked, Submitted, WorkerLeft
from steelyard.domain.fleet.model import Attempt, Task, TaskSpec, Worker
from steelyard.domain.fleet.ports import Engine
from steelyard.domain.fleet.states import TASK_ENDS, TaskState
from steelyard.kernel.errors import UsageError
from steelyard.plugins.hooks import Event, HookTable
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger_leadership import home_of_this_process
from steelyard.runtime.fleet.ledger_queries import PAGE, PAGE_MAX, TaskFilter, TaskPage, Told
from steelyard.runtime.fleet.ports import Decision, Happened, LostLeadershipError
from steelyard.runtime.plugin_host import PluginHost

SUBMIT_MAX = 10_000
"""Tasks that one call may submit."""
FOLLOW_S = 0.5
"""How often who follows events looks into the ledger, when nothing is heard of."""


class Coordinator:
    """One coordinator of a fleet; it works between `start` and `stop`, or in an `async with`.

    What it is told is in its ledger before it answers: a coordinator that is killed at any moment
    loses nothing, and the next one on the same ledger goes on. Of several on one ledger one leads.

    Args:
        settings: ledger, engines, scheduler, plugins.
        host: the plugin host; this process's own by default.
        engines: engines of your own, by name, beside those that the settings name.

    Attributes:
        name: names it to people and in the ledger.
        hooks: who listens to what; see `on`.
    """

    def __init__(
        self,
        settings: FleetSettings | None = None,
        *,
        host: PluginHost | None = None,
        engines: Mapping[str, Engine] | None = None,
    ) -> None:
        settings = self.settings = settings or FleetSettings()
        self.name = self.settings.name or home_of_this_process()
        self.host = host if host is not None else standard_host(self.settings.plugin_dirs)
        self.hooks = HookTable()
        self._clock = SystemClock()
        self._parts = Parts(self.host, self.settings, engines or {})
        self._announcer = Announcer(self, self.hooks, self.host.border, settings.hook_timeout_s)
        self._plugins = FleetPlugins(self.host, self, self._announcer)
        self._observers = Observers(self.settings, self.name, self._clock)
        self._office = Office(
            self.settings, self._parts, self.name, self._clock, self._heard, self._observers
        )
        self._reader = FleetReader(self._office, self.settings, self._clock)
        self._preparer = Preparer(self._parts, self._reader.earlier)
        self._runs = task_runs(self.settings, self._reader, self._announcer)
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    # Life

    @property
    def leads(self) -> bool:
        """True while this coordinator leads."""
        return self._office.reign is not None

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines at work, by name; none while this coordinator does not lead."""
        reign = self._office.reign
        return dict(reign.engines) if reign is not None else {}

    async def start(self) -> None:
        """Lead, or stand by; returns when engines have begun and plugins listen.

        Raises:
            UsageError: it was started before, or settings can't be used.
            LostLeadershipError: another coordinator leads, and this one does not stand by.
            FileError, LedgerGoneError: the ledger can't be used.
            PluginError: the scheduler or an engine can't be used.
        """
        await self._office.open()
        try:
            await self._plugins.start()
            self._announcer.start()
            if self._runs is not None:
                self._runs.start()
            self._observers.start(self._reader.queries)
            await self._office.hold()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Wait until it has ended, by `stop` or by itself.

        Raises:
            LostLeadershipError: another coordinator leads now, and this one does not stand by.
            SteelyardError: what else ended it.
        """
        await self._office.wait()

    async def stop(self) -> None:
        """End: plugins hear of it, workers are sent home, and what they held goes back."""
        await self._office.leave()
        await self._announcer.stop(self.settings.stop_s)
        if self._runs is not None:
            await self._runs.stop(self.settings.stop_s)
        await self._observers.stop()
        await self._plugins.stop()
        self._office.close()

    async def _heard(self, item: Happened) -> None:
        self._observers.heard(item)
        news, self._news = self._news, asyncio.Event()
        news.set()
        await self._announcer.put(item)

    # Tasks

    async def submit(
        self, specs: Iterable[TaskSpec], *, projects: Collection[str] = ()
    ) -> list[submitting.Submission]:
        """Take tasks; what is accepted is in the ledger when this returns.

        A task without an id gets one. One may become several (a suite that is split). The same
        again changes nothing: see `Submission.known`. Who is for `projects` depends on no others'.

        Raises:
            UsageError: there are more than `SUBMIT_MAX`.
            LostLeadershipError: another coordinator leads, and this one does not stand by.
            FileError, LedgerGoneError: the ledger can't be written; nothing was accepted.
        """
        given = list(specs)
        if len(given) > SUBMIT_MAX:
            raise UsageError("Too many tasks", got=len(given), expected=f"at most {SUBMIT_MAX}")
        now_ns, entropy = self._clock.wall_ns(), secrets.token_bytes(3)
        prepared = await self._preparer.prepared(given, now_ns, entropy)
        prepared = await self._reader.narrowed(prepared, projects)
        told, known = submitting.tell(prepared)
        refused = await self._office.tell(Submitted(told)) if told else ()
        there: tuple[Task, ...] = ()
        if refused:
            names = {each.task_id for each in refused}
            keys = {(s.user, s.idempotency_key) for s in told if s.idempotency_key}
            there = await asyncio.to_thread(self._office.ledger.recall, names, keys)
        return submitting.answers(prepared, known, refused, there)

    async def cancel(self, task_id: str, reason: str = "cancelled on request") -> None:
        """End a task, wherever it stands; its attempt is ended within a second.

        Raises:
            UnknownTaskError: there is none.
            RefusedError: it has ended.
            SteelyardError: as `submit`.
        """
        await self.task(task_id)
        for refused in await self._office.tell(CancelAsked(task_id, reason)):
            task = await self.task(task_id)
            why_not = f"it is {task.state}" if task.state in TASK_ENDS else refused.reason
            raise RefusedError(f"Task {task_id} can't be cancelled: {why_not}")

    async def task(self, task_id: str) -> Task:
        """Return a task as it stands.

        Raises:
            UnknownTaskError: there is none.
        """
        return await self._reader.task(task_id)

    async def ended(self, task_ids: Iterable[str]) -> dict[str, Task]:
        """Wait until tasks have ended; return them by id.

        Raises:
            UnknownTaskError: there is none of an id.
            SteelyardError: the coordinator ended before.
        """
        found: dict[str, Task] = {}
        for name in task_ids:
            while True:
                news = self._news
                found[name] = await self.task(name)
                if found[name].state in TASK_ENDS:
                    break
                self._office.check()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), FOLLOW_S)
        return found

    async def tasks(
        self, wanted: TaskFilter | None = None, *, limit: int = PAGE, after: str = ""
    ) -> TaskPage:
        """Return a page of tasks, the latest first; `after` is `next` of the page before.

        Raises:
            UsageError: `after` is from no page.
        """
        return await self._reader.tasks(wanted, limit, after)

    async def counts(self, wanted: TaskFilter | None = None) -> dict[TaskState, int]:
        """Return how many tasks of the ledger are in each state."""
        return await self._reader.counts(wanted)

    async def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the attempts at a task; the last may be under way.

        Raises:
            UnknownTaskError: there is none.
        """
        return await self._reader.attempts(task_id)

    async def why(self, task_id: str) -> tuple[str, ...]:
        """Return a sentence for each thing that keeps a task where it is.

        Raises:
            UnknownTaskError: there is none.
        """
        return await self._reader.why(task_id)

    async def decisions(self, task_id: str, limit: int = PAGE) -> tuple[Decision, ...]:
        """Return what schedulers proposed for a task and what became of that, the first first.

        Raises:
            UnknownTaskError: there is none.
        """
        return await self._reader.decisions(task_id, limit)

    async def log_paths(self, task_id: str, attempt: int = 0) -> dict[str, Path]:
        """Return the files of an attempt's outputs, by stream; 0 is the latest.

        Nothing for an attempt whose files are not on this machine, or not there yet.

        Raises:
            UnknownTaskError: there is no such task.
        """
        return await self._reader.log_paths(task_id, attempt)

    # Workers

    async def workers(self, projects: Collection[str] = ()) -> tuple[Worker, ...]:
        """Return all workers there ever were, by id; of leases, those of named projects only."""
        return await workers_seen(self._reader.queries, await self._reader.workers(), projects)

    async def drain(self, worker_id: str, *, on: bool = True) -> None:
        """Have a worker finish what it has and take nothing more; with `on` False, again.

        Raises:
            UnknownWorkerError: there is none.
            SteelyardError: as `submit`.
        """
        if await self._office.tell(DrainAsked(worker_id, on)):
            raise UnknownWorkerError("There is no such worker", got=worker_id)

    async def dismiss(self, worker_id: str, reason: str = "dismissed") -> None:
        """Say goodbye for a worker: what it holds goes back without blame.

        It may come again; its engine is to end it.

        Raises:
            UnknownWorkerError: there is none.
            LostLeadershipError: another coordinator leads.
        """
        if await self._office.driver.tell(WorkerLeft(worker_id, reason)):
            raise UnknownWorkerError("There is no such worker", got=worker_id)

    async def tidy(self, *, dry_run: bool = False, within_s: float = 10.0) -> Tidied:
        """Remove what `settings.keep` keeps no longer; go on with what was begun before.

        Raises:
            LostLeadershipError, SteelyardError: another leads; or something can't be removed.
        """
        reign = self._office.reign
        if reign is None:
            raise LostLeadershipError("Only the coordinator that leads tidies up")
        return await reign.tidier.ask(dry_run=dry_run, within_s=within_s)

    # Schedulers

    def schedulers(self) -> tuple[SchedulerInfo, ...]:
        """Return the schedulers that can be chosen, and which one is."""
        return self._parts.schedulers(*self._office.scheduler)

    async def use_scheduler(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        """Go on with another scheduler, at once.

        Raises:
            PluginError: there is none of that name, or it can't be used.
            ConfigError: its options are wrong.
            LostLeadershipError: another coordinator leads.
        """
        await self._office.use_scheduler(name, dict(options or {}))

    # What happens

    def on(
        self, event: str, call: Callable[..., Any], *, plugin: str = "", priority: int = 100
    ) -> None:
        """Have `call`, sync or async, called at an event: one of `FleetHook`, or of your own.

        Its arguments are those of `HOOK_ARGUMENTS`, by position. It is told after the fact, in
        order, and bounded in time; one that fails three times in a row is quarantined.

        Raises:
            PluginError: `call` can't take the arguments.
        """
        if event not in self.hooks.events:
            self.hooks.declare(Event(event, None, "fired by a user"))
        name = plugin or str(getattr(call, "__qualname__", type(call).__qualname__))
        self.hooks.register(event, call, plugin=name, priority=priority)

    def listen(self, listener: Listener) -> None:
        """Have a listener told of every event: its name, and its arguments."""
        self._announcer.listen(listener)

    async def fire(self, event: str, /, **arguments: Any) -> None:
        """Have an event of your own remembered, and told to who listens; returns once it is kept.

        Raises:
            UsageError: it is one of the fleet's own, or its arguments are no plain values.
            LostLeadershipError: another coordinator leads.
        """
        await self._office.driver.note(event, kept_arguments(event, arguments))

    async def hooks_settled(self) -> None:
        """Wait until plugins were told of all that happened so far."""
        if self._office.reign is not None:
            await self._office.reign.driver.heard()
        await self._announcer.settled()

    async def event_page(
        self, since: int = 0, limit: int = PAGE, task_id: str = "", projects: Collection[str] = ()
    ) -> EventPage:
        """Return what happened after the event of that number, in order.

        Named `projects` narrow it to what those see who are for them only.
        """
        return await event_page(self._reader.queries, since, limit, task_id, projects)

    async def events(
        self, since: int = 0, limit: int = PAGE, task_id: str = ""
    ) -> tuple[Told, ...]:
        """Return what happened after the event of that number, in order."""
        return (await self.event_page(since, limit, task_id)).items

    async def follow(
        self, since: int | None = None, task_id: str = "", projects: Collection[str] = ()
    ) -> AsyncIterator[Told]:
        """Yield what happens, from the event after `since` on; from now on when None."""
        after = await self._reader.last_event() if since is None else since
        while True:
            news = self._news
            page = await self.event_page(after, PAGE_MAX, task_id, projects)
            for told in page.items:
                yield told
            if page.next == after:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), FOLLOW_S)
            after = page.next

    def metrics(self) -> FleetMetrics:
        """Return how the fleet does."""
        reign, chooser = self._office.reign, self._office.chooser
        found = self._observers.metrics(self._announcer, self.hooks, self._clock.wall_ns())
        more: dict[str, Any] = {"runs": self._runs.counts} if self._runs is not None else {}
        if reign is not None and chooser is not None:
            more |= of_reign(reign.driver, chooser, self._office.scheduler[0])
        return msgspec.structs.replace(found, **more)
