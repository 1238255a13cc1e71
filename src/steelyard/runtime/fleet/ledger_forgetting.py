"""Takes out of a ledger what ended long ago: a ledger that only grows fills its disk one day."""

from sqlalchemy import Connection, delete, exists, select

from steelyard.domain.fleet.states import TASK_ENDS
from steelyard.runtime.fleet.ledger import ASKED_MAX, SqlLedger
from steelyard.runtime.fleet.ledger_rows import WORKER_DECODER
from steelyard.runtime.fleet.ledger_tables import (
    ATTEMPTS,
    DECISIONS,
    EVENTS,
    INBOX,
    TASKS,
    WORKERS,
)


def forget(ledger: SqlLedger, before_ns: int) -> int:
    """Forget some tasks that ended before a Unix time, and all that is about them.

    Kept are tasks that a worker still holds, and events that no journal has yet. One call takes at
    most `ASKED_MAX` tasks, so that no transaction is long: call again until 0 comes back. An id or
    idempotency key that was forgotten is new again to the next coordinator.

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
        if len(names) < ASKED_MAX:
            _forget_rest(connection, before_ns)
        return len(names)

    return ledger.database.write(work)


def _forget_rest(connection: Connection, before_ns: int) -> None:
    """Forget what is about no task: of workers, answered, or published after its task went."""
    known = exists().where(TASKS.c.task_id == EVENTS.c.task_id)
    old = EVENTS.c.at_ns < before_ns
    connection.execute(delete(EVENTS).where(EVENTS.c.published == 1, old, ~known))
    connection.execute(delete(INBOX).where(INBOX.c.answer.is_not(None), INBOX.c.at_ns < before_ns))


def _ended(connection: Connection, before_ns: int) -> list[str]:
    workers = connection.execute(select(WORKERS.c.data)).scalars()
    held = {name for data in workers for name in WORKER_DECODER.decode(data).holds.values()}
    asked = select(TASKS.c.task_id).where(
        TASKS.c.ended_ns > 0,
        TASKS.c.ended_ns < before_ns,
        TASKS.c.state.in_([str(state) for state in TASK_ENDS]),
    )
    # Some of the first may be held, and only those: slots bound how many.
    asked = asked.order_by(TASKS.c.ended_ns).limit(ASKED_MAX + len(held))
    names = [name for name in connection.execute(asked).scalars() if name not in held]
    return names[:ASKED_MAX]
