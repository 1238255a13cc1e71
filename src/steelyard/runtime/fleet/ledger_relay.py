"""Publishes the ledger's events into a journal: the outbox' way out.

The journal is synced before the ledger marks what is published. One that died in between finds in
the journal what the mark lacks, so that a journal has each event once.
"""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, select, update

from steelyard.kernel.clock import Clock
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_rows import ARGUMENTS_DECODER
from steelyard.runtime.fleet.ledger_tables import EVENTS
from steelyard.runtime.journal import JournalReader, JournalWriter

STREAM = "fleet"
EVENT_PREFIX = "fleet."
AT_ONCE = 1_000
LOOK_S = 0.2


class Relay:
    """Takes events from a ledger into the journal in `directory`, stream `fleet`.

    An event of the journal is named `fleet.` and the event's name; its payload is
    `{seq, at_ns, arguments}`, where `seq` is the ledger's.

    Args:
        run_id: of the journal.

    Raises:
        JournalError: the journal can't be read or written.
    """

    def __init__(self, ledger: SqlLedger, directory: Path, run_id: str, clock: Clock) -> None:
        self._ledger = ledger
        self._writer = JournalWriter(directory, STREAM, run_id=run_id, clock=clock, fsync="never")
        try:
            self._last = _last_published(directory)
        except BaseException:
            self._writer.close()
            raise

    def publish(self) -> int:
        """Publish what waits, `AT_ONCE` at most; return how many events the journal gained.

        Raises:
            LostLeadershipError: this coordinator does not lead.
            FileError, LedgerGoneError, JournalError: one of the two can't be used.
        """
        leadership = self._ledger.led()
        asked = select(EVENTS).where(EVENTS.c.published == 0).order_by(EVENTS.c.seq).limit(AT_ONCE)
        rows = self._ledger.database.read(lambda connection: connection.execute(asked).all())
        if not rows:
            return 0
        gained = 0
        for row in rows:
            if row.seq > self._last:
                arguments = ARGUMENTS_DECODER.decode(row.data)
                payload = {"seq": row.seq, "at_ns": row.at_ns, "arguments": arguments}
                self._writer.event(EVENT_PREFIX + row.name, payload)
                self._last = row.seq
                gained += 1
        self._writer.sync()
        done = update(EVENTS).where(EVENTS.c.published == 0, EVENTS.c.seq <= rows[-1].seq)

        def mark(connection: Connection) -> None:
            leadership.check(connection)
            connection.execute(done.values(published=1))

        self._ledger.database.write(mark)
        return gained

    async def run(self) -> None:
        """Publish until cancelled; raises what `publish` does."""
        while True:
            if not await asyncio.to_thread(self.publish):
                await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Close the journal."""
        self._writer.close()


def _last_published(directory: Path) -> int:
    """Return the number of the last event that the journal has."""
    last = 0
    for event in JournalReader(directory).events(STREAM):
        if event.type.startswith(EVENT_PREFIX):
            last = max(last, int(event.payload["seq"]))
    return last
