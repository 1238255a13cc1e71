"""What can be asked of a fleet, whoever leads: tasks, workers, reasons, logs and events."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from steelyard.app.fleet.errors import UnknownTaskError
from steelyard.app.fleet.office import Office
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.submitting import Prepared, narrowed
from steelyard.domain.fleet.book import Book
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Attempt, Task, TaskSpec, Worker
from steelyard.domain.fleet.states import TaskState
from steelyard.domain.fleet.why import why
from steelyard.kernel.clock import Clock
from steelyard.runtime.fleet.attempt_logs import STREAMS, attempts_of, log_path
from steelyard.runtime.fleet.ledger_queries import LedgerQueries, TaskFilter, TaskPage
from steelyard.runtime.fleet.ports import Decision

EARLIER_LOOKED_AT = 200
"""Ended tasks of a kind and project among which earlier ones of a name are looked for."""


class FleetReader:
    """Answers from the ledger; reasons and workers from the machine where this coordinator leads.

    Raises:
        FileError, LedgerGoneError: from every method, when the ledger can't be read.
    """

    def __init__(self, office: Office, settings: FleetSettings, clock: Clock) -> None:
        self._office, self._settings, self._clock = office, settings, clock

    @property
    def queries(self) -> LedgerQueries:
        """What the ledger itself answers."""
        return LedgerQueries(self._office.ledger.database)

    def earlier(self, spec: TaskSpec) -> list[object]:
        """Return results of earlier tasks of a kind, name and project, the latest first."""
        if not spec.name:
            return []
        ended = (TaskState.COMPLETED, TaskState.FAILED)
        wanted = TaskFilter(states=ended, kind=spec.kind, project=spec.project)
        page = self.queries.tasks(wanted, limit=EARLIER_LOOKED_AT)
        return [
            task.outcome.result
            for task in page.tasks
            if task.spec.name == spec.name
            and task.spec.project == spec.project
            and task.outcome is not None
        ]

    async def narrowed(self, prepared: list[Prepared], projects: Collection[str]) -> list[Prepared]:
        """Return tasks as somebody may submit them who is for some projects, if any are named."""
        if not projects:
            return prepared
        return await asyncio.to_thread(narrowed, prepared, projects, self._office.ledger.recall)

    async def task(self, task_id: str) -> Task:
        """Return a task as the ledger has it: what is told to anybody outlives this process."""
        task = await asyncio.to_thread(self.queries.task, task_id)
        if task is None:
            raise UnknownTaskError("There is no such task", got=task_id)
        return task

    async def tasks(self, wanted: TaskFilter | None, limit: int, after: str) -> TaskPage:
        """Return a page of tasks."""
        return await asyncio.to_thread(self.queries.tasks, wanted, limit=limit, after=after)

    async def counts(self, wanted: TaskFilter | None) -> dict[TaskState, int]:
        """Return how many tasks are in each state."""
        return await asyncio.to_thread(self.queries.counts, wanted)

    async def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the attempts at a task."""
        await self.task(task_id)
        return await asyncio.to_thread(self.queries.attempts, task_id)

    async def decisions(self, task_id: str, limit: int) -> tuple[Decision, ...]:
        """Return the last decisions about a task."""
        await self.task(task_id)
        return await asyncio.to_thread(self.queries.decisions, task_id, limit)

    async def why(self, task_id: str) -> tuple[str, ...]:
        """Return what keeps a task where it is."""
        await self.task(task_id)
        reign = self._office.reign
        if reign is not None and task_id in reign.driver.fleet.book.tasks:
            driver = reign.driver
            return why(driver.fleet.book, task_id, driver.now_ns(), driver.why_held)
        now_ns = self._clock.wall_ns()
        book = await asyncio.to_thread(self._book) if reign is None else Book(self._settings.limits)
        if task_id not in book.tasks:  # it has ended, maybe since it was read above
            book.add(await self.task(task_id), now_ns)
        return why(book, task_id, now_ns)

    def _book(self) -> Book:
        kept, fleet = self._office.ledger.load(), Fleet(self._settings.limits)
        fleet.restore(kept.tasks, kept.workers, kept.next_token, self._clock.wall_ns())
        return fleet.book

    async def log_paths(self, task_id: str, attempt: int) -> dict[str, Path]:
        """Return the files of an attempt's outputs."""
        await self.task(task_id)
        return await asyncio.to_thread(self._log_paths, task_id, attempt)

    def _log_paths(self, task_id: str, attempt: int) -> dict[str, Path]:
        found = attempts_of(Path(self._settings.directory), task_id)
        if attempt:
            found = [each for each in found if each.name.partition("-")[0] == str(attempt)]
        paths = {stream: log_path(found[-1], stream) for stream in STREAMS} if found else {}
        return {stream: path for stream, path in paths.items() if path.is_file()}

    async def workers(self) -> tuple[Worker, ...]:
        """Return all workers there ever were."""
        reign = self._office.reign
        if reign is None:
            return await asyncio.to_thread(self.queries.workers)
        workers = reign.driver.fleet.book.workers
        return tuple(workers[name] for name in sorted(workers))

    async def last_event(self) -> int:
        """Return the number of the last event."""
        return await asyncio.to_thread(self.queries.last_event)
