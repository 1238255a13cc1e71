"""A run's journal, read: streams, events in order, record batches without duplicates."""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from steelyard.domain.bench.messages import RecordBatch
from steelyard.kernel.errors import JournalError, did_you_mean
from steelyard.kernel.events import Event
from steelyard.kernel.frames import FrameType
from steelyard.runtime.files import next_step_of, reason_of
from steelyard.runtime.journal_stream import ALL_FRAMES, StreamCursor
from steelyard.runtime.journal_writer import SUFFIX

_EVENTS = frozenset({FrameType.OPENED, FrameType.EVENT})
_RECORDS = frozenset({FrameType.RECORDS})


def go_on() -> None:
    """Nobody asks a reader to stop."""


class JournalTail:
    """Follows one stream that may still be written; each `poll` yields what came since the last."""

    def __init__(self, cursor: StreamCursor) -> None:
        self._cursor = cursor

    def poll(self) -> Iterator[Event | RecordBatch]:
        """Yield the whole frames appended since the last poll; duplicates of batches included.

        Raises:
            JournalError: the file can't be read.
        """
        return _guarded(self._cursor, ALL_FRAMES, live=True)


class JournalReader:
    """Reads the journal files in `directory`, whether their writers are done, dead or at work.

    Memory does not grow with the journal. Damage never raises: what is before it is returned, and
    `damage` says what is not.

    Args:
        directory: holds the files.
        check: called with every record batch, and by whoever works on what was read; it raises
            when the work is no longer wanted.

    Raises:
        JournalError: there is no such directory, or no journal in it.
    """

    def __init__(self, directory: Path, check: Callable[[], None] = go_on) -> None:
        self._directory = directory
        self.check = check
        self._damage: dict[str, None] = {}
        if not self.streams():
            raise JournalError(
                f"There is no journal in {directory}",
                expected=f"files *{SUFFIX}",
                next_step="Name the artifact directory of a run.",
            )

    @property
    def damage(self) -> list[str]:
        """What was wrong with the files read so far, one sentence each; see `verify`."""
        return list(self._damage)

    def streams(self) -> list[str]:
        """Return the ids of the streams, sorted."""
        return sorted(path.stem for path in self._directory.glob(f"*{SUFFIX}"))

    def verify(self) -> list[str]:
        """Read and check everything; return `damage`.

        Raises:
            JournalError: a file can't be read.
        """
        for stream in self.streams():
            for _ in _guarded(self._cursor(stream), ALL_FRAMES):
                continue
        return self.damage

    def events(self, stream: str | None = None) -> Iterator[Event]:
        """Yield events, of one stream or of all merged.

        Events of one boot come in the order of `mono_ns`; boots are set against each other by the
        wall time at which they were first seen.

        Raises:
            JournalError: no such stream, or a file can't be read.
        """
        if stream is not None:
            yield from self._events_of(stream)
            return
        starts: dict[tuple[str, str], int] = {}

        def order(event: Event) -> tuple[int, str, int]:
            boot = (event.host_id, event.boot_id)
            start = starts.setdefault(boot, event.wall_ns - event.mono_ns)
            return event.mono_ns + start, event.stream_id, event.seq

        yield from heapq.merge(*map(self._events_of, self.streams()), key=order)

    def record_batches(self) -> Iterator[RecordBatch]:
        """Yield each record batch once, stream by stream, as rows of today's `RECORD_DTYPE`.

        Raises:
            JournalError: a file can't be read.
        """
        from steelyard.domain.bench.record_codec import SeenBatches  # needs numpy

        seen = SeenBatches()
        for stream in self.streams():
            for item in _guarded(self._cursor(stream), _RECORDS):
                self.check()
                if isinstance(item, RecordBatch) and seen.add(item):
                    yield item

    def tail(self, stream: str) -> JournalTail:
        """Return a follower of `stream`, from its beginning.

        Raises:
            JournalError: there is no such stream.
        """
        return JournalTail(self._cursor(stream))

    def _events_of(self, stream: str) -> Iterator[Event]:
        for item in _guarded(self._cursor(stream), _EVENTS):
            if isinstance(item, Event):
                yield item

    def _cursor(self, stream: str) -> StreamCursor:
        streams = self.streams()
        if stream not in streams:
            hint = did_you_mean(stream, streams) or None
            raise JournalError(
                f"Unknown stream in {self._directory}",
                got=stream,
                expected=f"one of {', '.join(streams)}",
                next_step=hint,
            )
        return StreamCursor(self._directory / f"{stream}{SUFFIX}", self._note)

    def _note(self, sentence: str) -> None:
        self._damage[sentence] = None


def _guarded(
    cursor: StreamCursor, wanted: frozenset[FrameType], *, live: bool = False
) -> Iterator[Event | RecordBatch]:
    try:
        yield from cursor.read(wanted, live=live)
    except OSError as error:
        message = f"Can't read journal {cursor.path}: {reason_of(error)}"
        raise JournalError(message, next_step=next_step_of(error)) from error
