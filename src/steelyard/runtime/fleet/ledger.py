"""The fleet's memory on SQLite or PostgreSQL: what a coordinator commits, and goes on from."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from steelyard.domain.fleet.model import Attempt, Task
from steelyard.domain.fleet.states import TASK_ENDS, TaskState
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger_database import PATIENCE_S, Database
from steelyard.runtime.fleet.ledger_leadership import TTL_S, Candidate, Leadership
from steelyard.runtime.fleet.ledger_migrations import bring_up
from steelyard.runtime.fleet.ledger_rows import (
    ATTEMPT_DECODER,
    TASK_DECODER,
    WORKER_DECODER,
    attempt_row,
    column,
    decision_row,
    event_row,
    known_task,
    task_row,
    worker_row,
)
from steelyard.runtime.fleet.ledger_tables import (
    ATTEMPTS,
    DECISIONS,
    EVENTS,
    LEADER,
    TASKS,
    WORKERS,
)
from steelyard.runtime.fleet.ledger_url import ledger_url_for
from steelyard.runtime.fleet.ports import Change, LostLeadershipError, Remembered

ASKED_MAX = 500
"""Values in one `IN (...)`; SQLite and PostgreSQL both bound the parameters of a statement."""

_TASK_CHANGES = ("state", "ended_ns", "worker_id", "data")
_WORKER_CHANGES = ("state", "heard_ns", "data")
T = TypeVar("T")


class SqlLedger:
    """The ledger of a fleet. Only who leads may commit; everybody may read.

    Args:
        place: a path or a URL, see `ledger_url_for`.
        clock: for leases and for tasks that nobody dated.
        patience_s: how long a database that is gone or busy is waited for.

    Attributes:
        database: for those who read.
        leadership: of this coordinator, None as long as it does not lead.

    Raises:
        UsageError: no ledger can be there, or a newer Steelyard wrote it.
        FileError: the file can't be used.
        LedgerGoneError: the server does not answer.
        PluginError: the extra `postgres` is not installed.
    """

    def __init__(
        self, place: str, clock: Clock | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._clock = clock or SystemClock()
        self.database = Database(ledger_url_for(place), self._clock, patience_s=patience_s)
        self.leadership: Leadership | None = None
        self._failed: SteelyardError | None = None
        shown, now_ns = self.database.shown, self._clock.wall_ns()
        try:
            self.schema = self.database.write(lambda c: bring_up(c, shown, now_ns))
        except BaseException:
            self.close()
            raise

    def lead(self, owner: str, ttl_s: float = TTL_S, *, wait_s: float | None = None) -> Leadership:
        """Wait until this coordinator leads, at most `wait_s`; from then on it may commit.

        Whoever leads renews: see `keep_leading`.

        Args:
            owner: names it to people.
            ttl_s: a leader silent for longer is replaced; the failover takes that long and a bit.
            wait_s: without end when None.

        Raises:
            LostLeadershipError: another still leads after `wait_s`.
            FileError, LedgerGoneError: the ledger can't be written.
        """
        self.leadership = Candidate(self.database, owner, ttl_s).lead(wait_s)
        return self.leadership

    async def leads(self, owner: str, ttl_s: float = TTL_S) -> Leadership:
        """Wait as `lead` does, for a loop: who is cancelled waits no more.

        Raises:
            FileError, LedgerGoneError: the ledger can't be written.
        """
        self.leadership = await Candidate(self.database, owner, ttl_s).leads()
        return self.leadership

    def led(self) -> Leadership:
        """Return the leadership, for who writes beside the commits what only the leader writes.

        Raises:
            LostLeadershipError: this coordinator does not lead.
            SteelyardError: it gave up the lead when a commit failed, and this was why.
        """
        if self.leadership is not None:
            return self.leadership
        if self._failed is not None:
            raise self._failed.with_traceback(None)
        raise self._not_leading()

    def _not_leading(self) -> LostLeadershipError:
        return LostLeadershipError(
            f"This coordinator does not lead the fleet of {self.database.shown}",
            next_step="Only the leader changes the ledger.",
        )

    def load(self) -> Remembered:
        """Return the tasks that have not ended or that a worker still holds, and all workers."""
        return self.database.read(_load)

    def recall(
        self, task_ids: Collection[str], keys: Collection[tuple[str, str]]
    ) -> tuple[Task, ...]:
        """Return the tasks, ended or not, with these ids or these users and idempotency keys."""

        def look(connection: Connection) -> tuple[Task, ...]:
            found = _tasks_named(connection, list(task_ids))
            for part in _parts(list(keys)):
                # The key is not '' is said again: it is what the index is made with.
                named = tuple_(TASKS.c.user_name, TASKS.c.idempotency_key).in_(
                    (column(user), column(key)) for user, key in part
                )
                asked = select(TASKS.c.data).where(named, TASKS.c.idempotency_key != "")
                found += map(TASK_DECODER.decode, connection.execute(asked).scalars())
            return tuple({task.spec.task_id: task for task in found}.values())

        return self.database.read(look)

    def recent(self, limit: int) -> list[tuple[Task, Attempt]]:
        """Return the last attempts that are over with their tasks, the first first.

        Raises:
            FileError, LedgerGoneError: the ledger can't be read.
        """
        asked = select(TASKS.c.data, ATTEMPTS.c.data).join(
            TASKS, TASKS.c.task_id == ATTEMPTS.c.task_id
        )
        asked = asked.order_by(ATTEMPTS.c.ended_ns.desc()).limit(limit)

        def look(connection: Connection) -> list[tuple[Task, Attempt]]:
            # Row by row: what a task returned may be large, and is not kept.
            found = connection.execute(asked.execution_options(yield_per=100))
            return [(known_task(task), ATTEMPT_DECODER.decode(attempt)) for task, attempt in found]

        return self.database.read(look)[::-1]

    def commit(self, change: Change) -> None:
        """Remember a change, durably; done again after a lost connection, it counts once.

        Whoever was told of a failure leads and loads anew before the next commit.

        Raises:
            LostLeadershipError: this coordinator does not lead, or not any more.
            FileError: it can't be written; nothing of it was.
            LedgerGoneError: the database is gone, and was waited for.
        """
        leadership = self.leadership
        if leadership is None:
            raise self._not_leading()
        rows = _Rows(change, self._clock.wall_ns())
        number = leadership.commits + 1
        try:
            self.database.write(lambda c: _commit(c, leadership, number, change.next_token, rows))
        except SteelyardError as error:
            # Nobody knows now what the database has. Whoever finds that out is told why.
            self.leadership, self._failed = None, error
            raise
        leadership.commits = number

    def close(self) -> None:
        """Let go of the database; a leader should resign before."""
        self.database.close()


class _Rows:
    """A change as rows, made once however often the transaction is tried."""

    def __init__(self, change: Change, now_ns: int) -> None:
        self.tasks = [task_row(task, now_ns) for task in change.tasks]
        self.workers = [worker_row(worker) for worker in change.workers]
        self.gone = [column(name) for name in change.gone]
        self.attempts = [attempt_row(attempt) for attempt in change.attempts]
        self.decisions = [decision_row(decision) for decision in change.decisions]
        self.events = [event_row(event) for event in change.happened]


def _commit(
    connection: Connection, leadership: Leadership, number: int, next_token: int, rows: _Rows
) -> None:
    """Write a change under its number; nothing to do where an earlier try was committed."""
    mine = leadership.mine()
    step = update(LEADER).where(mine, LEADER.c.commits == number - 1)
    if connection.execute(step.values(commits=number, next_token=next_token)).rowcount != 1:
        there = connection.execute(select(LEADER.c.commits).where(mine)).scalar()
        if there == number:
            return
        raise leadership.lost()
    _put(connection, TASKS, rows.tasks, _TASK_CHANGES)
    _put(connection, WORKERS, rows.workers, _WORKER_CHANGES)
    for names in _parts(rows.gone):
        connection.execute(delete(WORKERS).where(WORKERS.c.worker_id.in_(names)))
    _put(connection, ATTEMPTS, rows.attempts, ("data",))
    for table, new in ((DECISIONS, rows.decisions), (EVENTS, rows.events)):
        if new:
            connection.execute(insert(table), new)


def _put(
    connection: Connection, table: Table, rows: list[dict[str, Any]], changes: Sequence[str]
) -> None:
    """Insert rows, or change those that are there."""
    if not rows:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    key = list(table.primary_key)
    put: Any = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    new: Mapping[str, Any] = {name: put.excluded[name] for name in changes}
    connection.execute(put.on_conflict_do_update(index_elements=key, set_=new), rows)


def _load(connection: Connection) -> Remembered:
    live = [str(state) for state in TaskState if state not in TASK_ENDS]  # as an index has them
    workers = tuple(
        map(WORKER_DECODER.decode, connection.execute(select(WORKERS.c.data)).scalars())
    )
    asked = select(TASKS.c.data).where(TASKS.c.state.in_(live))
    asked = asked.order_by(TASKS.c.submitted_ns, TASKS.c.task_id)
    tasks = [TASK_DECODER.decode(data) for data in connection.execute(asked).scalars()]
    there = {task.spec.task_id for task in tasks}
    held = {name for worker in workers for name in worker.holds.values()} - there
    tasks += _tasks_named(connection, sorted(held))
    token = connection.execute(select(LEADER.c.next_token)).scalar_one()
    return Remembered(tasks=tuple(tasks), workers=workers, next_token=token)


def _tasks_named(connection: Connection, names: list[str]) -> list[Task]:
    found: list[Task] = []
    for part in _parts(names):
        asked = select(TASKS.c.data).where(TASKS.c.task_id.in_(map(column, part)))
        found += map(TASK_DECODER.decode, connection.execute(asked).scalars())
    return found


def _parts(values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), ASKED_MAX):
        yield values[start : start + ASKED_MAX]
