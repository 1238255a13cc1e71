"""A bounded queue to another process that never holds its writer up.

Where it is full, the oldest event makes room: the newest tells best how things stand.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from queue import Empty, Full
from typing import Any, Protocol

from steelyard.kernel.errors import UsageError

BUFFERED_VARIABLE = "STEELYARD_OTEL_MAX_BUFFERED_RECORDS"
BUFFERED_MAX = 10_000
TOLD_AT = frozenset({1, 100, 1000})
"""How many drops are worth a line in the log; all of them are counted."""


def buffered_max(environ: Mapping[str, str] = os.environ) -> int:
    """Return how many events may wait for a slow process: `BUFFERED_VARIABLE`, else 10,000.

    Raises:
        UsageError: the variable is no whole number above 0.
    """
    stated = environ.get(BUFFERED_VARIABLE, str(BUFFERED_MAX))
    if not stated.isdecimal() or int(stated) < 1:
        raise UsageError(
            f"{BUFFERED_VARIABLE} can't be used", got=stated, expected="a whole number above 0"
        )
    return int(stated)


class BoundedQueue(Protocol):
    """A queue that answers at once, as `queue.Queue` and `multiprocessing.Queue` do."""

    def put_nowait(self, item: Any, /) -> None:
        """Append an item, or raise `queue.Full`."""

    def get_nowait(self) -> Any:
        """Take the oldest item that is not under way, or raise `queue.Empty`."""


class Fanout:
    """Puts events into a bounded queue, the oldest giving way.

    Args:
        queue: where they go; an attribute too.
        warn: told at the counts of `TOLD_AT`.

    Attributes:
        sent: events that were queued.
        dropped: events that nobody will ever see: queued ones that gave way, and new ones for
            which no room could be made.
    """

    def __init__(self, queue: BoundedQueue, warn: Callable[[str], None]) -> None:
        self.sent = 0
        self.dropped = 0
        self.queue = queue
        self._warn = warn

    def put(self, event: Any) -> bool:
        """Queue an event; return False when it was dropped. Never waits."""
        if self._put(event) or (self.drop_oldest() and self._put(event)):
            return True
        self.record_drop("the queue stays full, the newest event is dropped")
        return False

    def _put(self, event: Any) -> bool:
        try:
            self.queue.put_nowait(event)
        except Full:
            return False
        self.sent += 1
        return True

    def drop_oldest(self) -> bool:
        """Take the oldest event out; return False when there is none to take."""
        try:
            self.queue.get_nowait()
        except Empty:
            return False
        self.record_drop("the queue is full, the oldest event is dropped")
        return True

    def record_drop(self, message: str) -> None:
        """Count a drop."""
        self.dropped += 1
        if self.dropped in TOLD_AT:
            self._warn(f"{message} (dropped={self.dropped})")


class EventPipe:
    """A `BoundedQueue` whose other end is a pipe.

    What the kernel takes is under way; the rest waits here, at most `maxsize` frames.

    Args:
        fd: the pipe's end for writing; made non-blocking, and not closed here.
        maxsize: frames that may wait.
    """

    def __init__(self, fd: int, maxsize: int) -> None:
        self._has_reader = True
        self._fd = fd
        self._maxsize = maxsize
        self._waiting: deque[bytes] = deque()
        self._under_way = b""
        os.set_blocking(fd, False)

    def __len__(self) -> int:
        """Frames of which nothing was written yet."""
        return len(self._waiting)

    def has_reader(self) -> bool:
        """Tell whether somebody was at the other end at the last write."""
        return self._has_reader

    def put_nowait(self, item: bytes, /) -> None:
        """Append a frame.

        Raises:
            queue.Full: `maxsize` frames wait.
        """
        self.flush()
        if len(self._waiting) >= self._maxsize:
            raise Full
        self._waiting.append(item)
        self.flush()

    def get_nowait(self) -> bytes:
        """Take the oldest frame of which nothing was written.

        Raises:
            queue.Empty: there is none.
        """
        if not self._waiting:
            raise Empty
        return self._waiting.popleft()

    def flush(self) -> bool:
        """Write what the pipe takes without waiting; return True when nothing is left.

        With nobody at the other end, frames go nowhere from now on.
        """
        while self._under_way or self._waiting:
            self._under_way = self._under_way or self._waiting.popleft()
            try:
                written = os.write(self._fd, self._under_way)
            except BlockingIOError:
                return False
            except BrokenPipeError:
                self._has_reader = False
                self._under_way = b""
                self._waiting.clear()
                return True
            self._under_way = self._under_way[written:]
        return True
