"""Slots that an answer has just left, and when they are filled again: a moment later, together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

HELD_MAX = 16
"""Answers after which slots are filled at once, however many sockets are still to be read."""


class FreedSlots:
    """Has what became free in one turn of the event loop filled at the turn's end.

    A send wakes a server that has gone to sleep, which costs a client more than all else it does
    for a short request; sends that follow each other wake it once. The wait is counted: a session
    is intended for when its slot was left, not for when it was filled.

    Args:
        fill: sends into all free slots; it calls `filled` first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fill: Callable[[], None]) -> None:
        self._loop = loop
        self._fill = fill
        self._since_ns: deque[int] = deque()
        self._held = 0

    def note(self) -> None:
        """A slot is free from now on."""
        self._since_ns.append(time.monotonic_ns())

    def since_ns(self, now_ns: int) -> int:
        """Return since when the slot to be filled next has been free; `now_ns` if it is new."""
        return self._since_ns[0] if self._since_ns else now_ns

    def use(self) -> None:
        """The slot to be filled next is filled."""
        if self._since_ns:
            self._since_ns.popleft()

    def fill_soon(self) -> None:
        """Have the slots filled when the sockets that are ready have been read."""
        self._held += 1
        if self._held == HELD_MAX:
            self._fill()
        elif self._held == 1:
            self._loop.call_soon(self.fill_held)

    def fill_held(self) -> None:
        """Fill now what waits to be filled."""
        if self._held:
            self._fill()

    def filled(self) -> None:
        """Nothing waits any more."""
        self._held = 0

    def clear(self) -> None:
        """Forget the slots of the phase before."""
        self._since_ns.clear()
