"""What the service and the command line ask of a ledger; nobody needs to lead for that."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, and_, exists, func, or_, select

from steelyard.domain.fleet.model import Attempt, Task, TaskSpec, Worker
from steelyard.domain.fleet.states import TASK_ENDS, TASK_HELD, TaskState
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_rows import (
    ARGUMENTS_DECODER,
    ATTEMPT_DECODER,
    DECISION_DECODER,
    TASK_DECODER,
    WORKER_DECODER,
    column,
    known_task,
    whole,
)
from steelyard.runtime.fleet.ledger_tables import (
    ATTEMPTS,
    DECISIONS,
    EVENTS,
    LEADER,
    TASKS,
    WORKERS,
)
from steelyard.runtime.fleet.ports import Decision

PAGE = 100
PAGE_MAX = 10_000
_DIGITS_MAX = 20
_NAMES_MAX = 500


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are asked for; what is left empty asks for all.

    Attributes:
        priority_min: of this priority or a higher one.
        submitted_from_ns, submitted_before_ns: Unix time; 0 for no bound.
    """

    states: tuple[TaskState, ...] = ()
    user: str = ""
    project: str = ""
    kind: str = ""
    priority_min: int | None = None
    submitted_from_ns: int = 0
    submitted_before_ns: int = 0
    worker_id: str = ""


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks, the latest first.

    Attributes:
        next: what asks for those after them, empty after the last.
    """

    tasks: tuple[Task, ...]
    next: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and where it stands in the order of all."""

    seq: int
    at_ns: int
    name: str
    arguments: dict[str, Any]


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads; `owner` is empty when nobody does."""

    owner: str
    epoch: int


class LedgerQueries:
    """Reads a ledger.

    Raises:
        FileError, LedgerGoneError: from every method, when the database can't be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def task(self, task_id: str) -> Task | None:
        """Return a task, None when there is none of that id."""
        asked = select(TASKS.c.data).where(TASKS.c.task_id == column(task_id))
        data = self._database.read(lambda c: c.execute(asked).scalar_one_or_none())
        return None if data is None else TASK_DECODER.decode(data)

    def tasks(
        self, wanted: TaskFilter | None = None, *, limit: int = PAGE, after: str = ""
    ) -> TaskPage:
        """Return a page of tasks, the latest first.

        Args:
            wanted: which; all when None.
            limit: how many, at most `PAGE_MAX`.
            after: `next` of the page before.

        Raises:
            UsageError: `after` is from no page.
        """
        limit = max(1, min(limit, PAGE_MAX))
        asked = _filtered(select(TASKS.c.submitted_ns, TASKS.c.task_id, TASKS.c.data), wanted)
        if after:
            at_ns, name = _place(after)
            earlier = and_(TASKS.c.submitted_ns == at_ns, TASKS.c.task_id < column(name))
            asked = asked.where(or_(TASKS.c.submitted_ns < at_ns, earlier))
        asked = asked.order_by(TASKS.c.submitted_ns.desc(), TASKS.c.task_id.desc())
        rows = self._database.read(lambda c: c.execute(asked.limit(limit + 1)).all())
        tasks = tuple(TASK_DECODER.decode(row.data) for row in rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return TaskPage(tasks=tasks, next=f"{last.submitted_ns}:{last.task_id}" if last else "")

    def counts(self, wanted: TaskFilter | None = None) -> dict[TaskState, int]:
        """Return how many tasks are in each state, zeros included."""
        asked = _filtered(select(TASKS.c.state, func.count()), wanted).group_by(TASKS.c.state)
        found = dict(map(tuple, self._all(asked)))
        return {state: int(found.get(str(state), 0)) for state in TaskState}

    def latest_ended(self, limit: int) -> list[TaskSpec]:
        """Return the tasks that ended last without what they were told, the last first."""
        ends = [str(state) for state in TASK_ENDS]
        asked = select(TASKS.c.data).where(TASKS.c.ended_ns > 0, TASKS.c.state.in_(ends))
        asked = asked.order_by(TASKS.c.ended_ns.desc()).limit(limit)

        def look(connection: Connection) -> list[TaskSpec]:
            # Row by row: what a task returned may be large, and is not kept.
            found = connection.execute(asked.execution_options(yield_per=PAGE))
            return [known_task(row.data).spec for row in found]

        return self._database.read(look)

    def workers(self) -> tuple[Worker, ...]:
        """Return all workers there ever were, by id."""
        asked = select(WORKERS.c.data).order_by(WORKERS.c.worker_id)
        return tuple(WORKER_DECODER.decode(row.data) for row in self._all(asked))

    def decisions(self, task_id: str, limit: int = PAGE) -> tuple[Decision, ...]:
        """Return the last decisions about a task, the first first."""
        rows = self._last(DECISIONS, task_id, limit)
        return tuple(DECISION_DECODER.decode(row.data) for row in rows)

    def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the history of a task's attempts; the last may be under way."""
        asked = select(ATTEMPTS.c.data).where(ATTEMPTS.c.task_id == column(task_id))
        asked = asked.order_by(ATTEMPTS.c.attempt)
        current = select(TASKS.c.data).where(TASKS.c.task_id == column(task_id))

        def look(connection: Connection) -> tuple[Sequence[bytes], bytes | None]:
            over = connection.execute(asked).scalars().all()
            return over, connection.execute(current).scalar_one_or_none()

        over, data = self._database.read(look)
        found = [ATTEMPT_DECODER.decode(each) for each in over]
        task = TASK_DECODER.decode(data) if data is not None else None
        if task is not None and task.state in TASK_HELD:
            found.append(_under_way(task))
        return tuple(found)

    def events(
        self,
        after: int = 0,
        limit: int = PAGE,
        task_id: str = "",
        projects: Collection[str] = (),
    ) -> tuple[Told, ...]:
        """Return what happened after the event of that number, in order.

        Args:
            after: number of an event; 0 for the beginning.
            limit: how many at most.
            task_id: only of this task.
            projects: only of tasks of these, and of no task; of all when empty.
        """
        asked = select(EVENTS).where(EVENTS.c.seq > whole(after))
        if task_id:
            asked = asked.where(EVENTS.c.task_id == column(task_id))
        if projects:
            named = and_(
                TASKS.c.task_id == EVENTS.c.task_id, TASKS.c.project.in_(map(column, projects))
            )
            asked = asked.where(or_(EVENTS.c.task_id == "", exists().where(named)))
        asked = asked.order_by(EVENTS.c.seq).limit(max(1, min(limit, PAGE_MAX)))
        return tuple(_told(row) for row in self._all(asked))

    def of_projects(self, task_ids: Collection[str], projects: Collection[str]) -> frozenset[str]:
        """Return those of some tasks that are of these projects."""
        found: set[str] = set()
        names = sorted(set(task_ids))
        for start in range(0, len(names), _NAMES_MAX):
            asked = select(TASKS.c.task_id).where(
                TASKS.c.task_id.in_(map(column, names[start : start + _NAMES_MAX])),
                TASKS.c.project.in_(map(column, projects)),
            )
            found.update(row.task_id for row in self._all(asked))
        return frozenset(found)

    def last_event(self) -> int:
        """Return the number of the last event, 0 before the first: `events` goes on from it."""
        return int(self._all(select(func.coalesce(func.max(EVENTS.c.seq), 0)))[0][0])

    def last_event_ns(self) -> int:
        """Return when the last event was, in Unix time, 0 before the first."""
        asked = select(EVENTS.c.at_ns).order_by(EVENTS.c.seq.desc()).limit(1)
        return next((int(row.at_ns) for row in self._all(asked)), 0)

    def leader(self) -> Leader:
        """Return who leads, or led last and did not resign."""
        (row,) = self._all(select(LEADER.c.owner, LEADER.c.epoch))
        return Leader(owner=row.owner, epoch=row.epoch)

    def _all(self, asked: Select[Any]) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(asked).all())

    def _last(self, table: Table, task_id: str, limit: int) -> list[Any]:
        asked = select(table).where(table.c.task_id == column(task_id)).order_by(table.c.seq.desc())
        return [*reversed(self._all(asked.limit(max(1, min(limit, PAGE_MAX)))))]


def _filtered(asked: Select[Any], wanted: TaskFilter | None) -> Select[Any]:
    if wanted is None:
        return asked
    for where, value in (
        (TASKS.c.user_name, wanted.user),
        (TASKS.c.project, wanted.project),
        (TASKS.c.kind, wanted.kind),
        (TASKS.c.worker_id, wanted.worker_id),
    ):
        if value:
            asked = asked.where(where == column(value))
    if wanted.states:
        asked = asked.where(TASKS.c.state.in_([str(state) for state in wanted.states]))
    if wanted.priority_min is not None:
        asked = asked.where(TASKS.c.priority >= whole(wanted.priority_min))
    if wanted.submitted_from_ns:
        asked = asked.where(TASKS.c.submitted_ns >= whole(wanted.submitted_from_ns))
    if wanted.submitted_before_ns:
        asked = asked.where(TASKS.c.submitted_ns < whole(wanted.submitted_before_ns))
    return asked


def _place(after: str) -> tuple[int, str]:
    at_ns, colon, name = after.partition(":")
    if not colon or len(at_ns) > _DIGITS_MAX or not at_ns.isdecimal():
        raise UsageError("No page of tasks begins there", got=after, expected="`next` of a page")
    return whole(int(at_ns)), name


def _under_way(task: Task) -> Attempt:
    return Attempt(
        task_id=task.spec.task_id, attempt=task.attempt, token=task.token,
        worker_id=task.worker_id, leased_ns=task.leased_ns, started_ns=task.started_ns,
    )  # fmt: skip


def _told(row: Any) -> Told:
    arguments = ARGUMENTS_DECODER.decode(row.data)
    return Told(seq=row.seq, at_ns=row.at_ns, name=row.name, arguments=arguments)
