"""Publishes the ledger's events into a journal: the outbox' way out.

The journal is synced before the ledger marks what is published. One that died in between finds in
the journal what the mark lacks, so that a journal has each event once.

A fleet's journal has parts, each a stream and a file: one is begun when the last is long enough, so
that a start reads little and the oldest can go.
"""

import asyncio
import re
from pathlib import Path

from sqlalchemy import Connection, select, update

from steelyard.kernel.clock import Clock
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_rows import ARGUMENTS_DECODER
from steelyard.runtime.fleet.ledger_tables import EVENTS
from steelyard.runtime.journal import JournalReader, JournalWriter

STREAM = "fleet"
"""The first part; the next are `fleet-000002` and so on."""
PART_BYTES = 16_000_000
EVENT_PREFIX = "fleet."
AT_ONCE = 1_000
LOOK_S = 0.2
_PART = re.compile(rf"{STREAM}(?:-(\d{{6,}}))?")


class Relay:
    """Takes events from a ledger into the last part of the journal in `directory`.

    An event of the journal is named `fleet.` and the event's name; its payload is
    `{seq, at_ns, arguments}`, where `seq` is the ledger's.

    Args:
        run_id: of the journal.
        part_bytes: how long a part is at least before the next is begun.

    Raises:
        JournalError: the journal can't be read or written.
    """

    def __init__(
        self,
        ledger: SqlLedger,
        directory: Path,
        run_id: str,
        clock: Clock,
        *,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._ledger, self._directory, self._part_bytes = ledger, directory, part_bytes
        self._run_id, self._clock = run_id, clock
        found = journal_parts(directory)
        self._number = _number(found[-1]) if found else 1
        self._writer = self._part()
        try:
            self._last = _last_published(directory, found)
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
        self._turn_over()
        return gained

    async def run(self) -> None:
        """Publish until cancelled; raises what `publish` does."""
        while True:
            if not await asyncio.to_thread(self.publish):
                await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Close the journal."""
        self._writer.close()

    def _part(self) -> JournalWriter:
        name = STREAM if self._number == 1 else f"{STREAM}-{self._number:06d}"
        run_id, clock = self._run_id, self._clock
        return JournalWriter(self._directory, name, run_id=run_id, clock=clock, fsync="never")

    def _turn_over(self) -> None:
        """Begin the next part when this one is long enough; all that is in it is marked."""
        if self._writer.path.stat().st_size >= self._part_bytes:
            self._writer.close()
            self._number += 1
            self._writer = self._part()


def journal_parts(directory: Path) -> list[Path]:
    """Return the files of a fleet's journal, the oldest first; the last is written."""
    found = [path for path in directory.glob("*.journal") if _PART.fullmatch(path.stem)]
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    named = _PART.fullmatch(path.stem)
    return int(named[1]) if named and named[1] else 1


def _last_published(directory: Path, parts: list[Path]) -> int:
    """Return the number of the last event in the last part, or, where that has none, before it."""
    for part in reversed(parts):
        last = 0
        for event in JournalReader(directory).events(part.stem):
            if event.type.startswith(EVENT_PREFIX):
                last = max(last, int(event.payload["seq"]))
        if last:
            return last
    return 0
