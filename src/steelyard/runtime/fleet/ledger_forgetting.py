"""Takes out of a ledger what ended long ago: a ledger that only grows fills its disk one day."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select

from steelyard.domain.fleet.states import TASK_ENDS
from steelyard.runtime.fleet.ledger import ASKED_MAX, SqlLedger
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_rows import WORKER_DECODER, column
from steelyard.runtime.fleet.ledger_tables import (
    ATTEMPTS,
    DECISIONS,
    EVENTS,
    INBOX,
    TASKS,
    WORKERS,
)

WINDOW = 2_000
"""Events that one call of `forget_events` looks at."""


def forget(ledger: SqlLedger, before_ns: int) -> int:
    """Forget some tasks that ended before a Unix time, and all that is about them.

    Kept are tasks that a worker still holds, and events that no journal has yet. One call takes at
    most `ASKED_MAX` tasks, so that no transaction is long: call again until 0 comes back. An id or
    idempotency key that was forgotten is new again.

    Raises:
        LostLeadershipError: this coordinator does not lead.
        FileError, LedgerGoneError: the ledger can't be written.
    """
    leadership = ledger.led()

    def work(connection: Connection) -> int:
        leadership.check(connection)
        names = _ended(connection, before_ns)
        for table in (TASKS, ATTEMPTS, DECISIONS):
            connection.execute(delete(table).where(table.c.task_id.in_(names)))
        told = EVENTS.c.published == 1
        connection.execute(delete(EVENTS).where(told, EVENTS.c.task_id.in_(names)))
        return len(names)

    return ledger.database.write(work)


def forget_events(
    ledger: SqlLedger, before_ns: int, after: int = 0, *, published: bool = True
) -> int:
    """Forget old events about no task that is remembered: of workers, or told after it went.

    With them goes what others had told the leader and was answered. One call looks at `WINDOW`
    events.

    Args:
        ledger: this coordinator leads on it.
        before_ns: Unix time; younger events are kept.
        after: the number of an event; those behind it are looked at.
        published: keep those that no journal has yet; False where there is no journal.

    Returns:
        what to go on after, 0 when there is nothing older.

    Raises:
        LostLeadershipError: this coordinator does not lead.
        FileError, LedgerGoneError: the ledger can't be written.
    """
    leadership = ledger.led()
    extra = [EVENTS.c.published == 1] * published
    done = [INBOX.c.answer.is_not(None), INBOX.c.at_ns < before_ns]
    head = select(func.min(INBOX.c.seq)).scalar_subquery() + WINDOW

    def work(connection: Connection) -> int:
        leadership.check(connection)
        connection.execute(delete(INBOX).where(INBOX.c.seq < head, *done))
        return _forget_strays(connection, EVENTS, before_ns, after, extra)

    return ledger.database.write(work)


def forget_decisions(ledger: SqlLedger, before_ns: int, after: int = 0) -> int:
    """Forget old decisions about no task that is remembered, as `forget_events` does events.

    A scheduler may propose what there never was.
    """
    leadership = ledger.led()

    def work(connection: Connection) -> int:
        leadership.check(connection)
        return _forget_strays(connection, DECISIONS, before_ns, after, [])

    return ledger.database.write(work)


def _forget_strays(
    connection: Connection,
    table: Table,
    before_ns: int,
    after: int,
    extra: list[ColumnElement[bool]],
) -> int:
    first = select(table.c.seq, table.c.at_ns).where(table.c.seq > after)
    seen = connection.execute(first.order_by(table.c.seq).limit(WINDOW)).all()
    if not seen:
        return 0
    last = seen[-1]
    known = exists().where(TASKS.c.task_id == table.c.task_id)
    within = (table.c.seq > after, table.c.seq <= last.seq)
    old = (table.c.at_ns < before_ns, ~known, *extra)
    connection.execute(delete(table).where(*within, *old))
    return int(last.seq) if last.at_ns < before_ns and len(seen) == WINDOW else 0


def forgettable(database: Database, before_ns: int) -> int:
    """Return how many tasks ended before a Unix time, those that a worker still holds too.

    Raises:
        FileError, LedgerGoneError: the ledger can't be read.
    """
    ended = (TASKS.c.ended_ns > 0) & (TASKS.c.ended_ns < before_ns)
    asked = select(func.count()).select_from(TASKS).where(ended)
    return database.read(lambda connection: int(connection.execute(asked).scalar_one()))


def standing(database: Database, task_ids: Collection[str]) -> dict[str, int]:
    """Return when each of these tasks ended; 0 for one that has not, or that a worker holds.

    One that the ledger does not have is left out.

    Raises:
        FileError, LedgerGoneError: the ledger can't be read.
    """
    names = {column(name): name for name in task_ids}
    asked = select(TASKS.c.task_id, TASKS.c.state, TASKS.c.ended_ns)
    asked = asked.where(TASKS.c.task_id.in_(list(names)))

    def look(connection: Connection) -> dict[str, int]:
        held = _held(connection)
        ends = {str(state) for state in TASK_ENDS}
        return {
            names[row.task_id]: row.ended_ns if row.state in ends and row.task_id not in held else 0
            for row in connection.execute(asked)
        }

    return database.read(look)


def _held(connection: Connection) -> set[str]:
    workers = connection.execute(select(WORKERS.c.data)).scalars()
    return {name for data in workers for name in WORKER_DECODER.decode(data).holds.values()}


def _ended(connection: Connection, before_ns: int) -> list[str]:
    held = _held(connection)
    asked = select(TASKS.c.task_id).where(
        TASKS.c.ended_ns > 0,
        TASKS.c.ended_ns < before_ns,
        TASKS.c.state.in_([str(state) for state in TASK_ENDS]),
    )
    # Some of the first may be held, and only those: slots bound how many.
    asked = asked.order_by(TASKS.c.ended_ns).limit(ASKED_MAX + len(held))
    names = [name for name in connection.execute(asked).scalars() if name not in held]
    return names[:ASKED_MAX]
