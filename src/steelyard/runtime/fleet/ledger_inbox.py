"""What is told to a coordinator that does not lead: it lies in the ledger until the leader took it.

A message has an id of its sender's choice: posted twice, it is there once. The leader answers after
its ledger has the consequences; one that died in between takes the message again, and finds the
tasks that are there already to be the same.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from steelyard.domain.fleet.events import CancelAsked, DrainAsked, Refused, Submitted
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_rows import column, packed
from steelyard.runtime.fleet.ledger_tables import INBOX

LOOK_S = 0.2
"""How often the leader looks, and who posted looks for the answer."""

TAKEN_MAX = 100
Message = Submitted | CancelAsked | DrainAsked
_KINDS: dict[str, type[Message]] = {
    "submitted": Submitted, "cancel_asked": CancelAsked, "drain_asked": DrainAsked,
}  # fmt: skip
_NAMES = {made: name for name, made in _KINDS.items()}


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits for the leader."""

    seq: int
    message_id: str
    message: Message


class Inbox:
    """The messages of one ledger.

    Raises:
        FileError, LedgerGoneError: from every method, when the ledger can't be used.
    """

    def __init__(self, ledger: SqlLedger, now_ns: Callable[[], int]) -> None:
        self._ledger, self._database = ledger, ledger.database
        self._now_ns = now_ns

    def post(self, message_id: str, message: Message) -> bool:
        """Leave a message; False when there was one of that id, and it stays as it was."""
        row = {
            "message_id": column(message_id), "at_ns": self._now_ns(),
            "kind": _NAMES[type(message)], "data": packed(message),
        }  # fmt: skip
        there = select(func.count()).where(INBOX.c.message_id == column(message_id))

        def put(connection: Connection) -> bool:
            if connection.execute(there).scalar_one():
                return False
            connection.execute(insert(INBOX), row)
            return True

        return self._database.write(put)

    def waiting(self, limit: int = TAKEN_MAX) -> tuple[Posted, ...]:
        """Return messages without an answer, the first first."""
        asked = select(INBOX).where(INBOX.c.answer.is_(None)).order_by(INBOX.c.seq).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(asked).all())
        return tuple(
            Posted(
                seq=row.seq,
                message_id=row.message_id,
                message=msgspec.msgpack.decode(row.data, type=_KINDS[row.kind]),
            )
            for row in rows
        )

    def answer(self, posted: Posted, refused: Sequence[Refused]) -> None:
        """Answer a message, as the leader.

        Raises:
            LostLeadershipError: this coordinator does not lead.
        """
        leadership = self._ledger.led()
        done = update(INBOX).where(INBOX.c.seq == posted.seq).values(answer=packed(list(refused)))

        def put(connection: Connection) -> None:
            leadership.check(connection)
            connection.execute(done)

        self._database.write(put)

    def answer_to(self, message_id: str) -> tuple[Refused, ...] | None:
        """Return what was refused of a message; None as long as no leader took it."""
        asked = select(INBOX.c.answer).where(INBOX.c.message_id == column(message_id))
        data = self._database.read(lambda c: c.execute(asked).scalar_one_or_none())
        return None if data is None else msgspec.msgpack.decode(data, type=tuple[Refused, ...])

    async def tell(self, message_id: str, message: Message) -> tuple[Refused, ...]:
        """Leave a message and wait for its answer, for ever: the caller says for how long."""
        await asyncio.to_thread(self.post, message_id, message)
        while True:
            answer = await asyncio.to_thread(self.answer_to, message_id)
            if answer is not None:
                return answer
            await asyncio.sleep(LOOK_S)


async def drain(inbox: Inbox, ledger: SqlLedger, driver: FleetDriver) -> None:
    """Tell the leader's machine what was posted, until cancelled.

    Raises:
        LostLeadershipError: another coordinator leads.
        SteelyardError: the loop of the machine ended, or the ledger can't be used.
    """
    while True:
        for posted in await asyncio.to_thread(inbox.waiting):
            refused = await driver.tell(posted.message)
            if refused and isinstance(posted.message, Submitted):
                refused = await asyncio.to_thread(_unless_same, ledger, posted.message, refused)
            await asyncio.to_thread(inbox.answer, posted, refused)
        await asyncio.sleep(LOOK_S)


def _unless_same(
    ledger: SqlLedger, message: Submitted, refused: tuple[Refused, ...]
) -> tuple[Refused, ...]:
    """Leave out the refusals of tasks that are there by this very message, taken before."""
    specs = {spec.task_id: spec for spec in message.specs}
    there = {task.spec.task_id: task.spec for task in ledger.recall(list(specs), ())}
    return tuple(r for r in refused if there.get(r.task_id) != specs.get(r.task_id, r))
