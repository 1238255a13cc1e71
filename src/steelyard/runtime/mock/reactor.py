"""One epoll and one heap of deadlines: the whole event loop of the simulated server.

It runs alone (`run`, no asyncio at all) or inside any asyncio loop, which then watches the epoll
descriptor itself and calls `turn` once for all sockets that became ready.
"""

import os
import select
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from steelyard.runtime.mock.timerfd import Timer

_EVENTS_PER_TURN = 64
_SPIN_NS = 100_000
"""How long before a deadline `run` wakes: a sleeping core needs some 70 us to come back."""

_SPARSE_NS = 5 * _SPIN_NS
"""Deadlines closer together than this are waited for asleep, so spinning costs at most a fifth."""

_EXPIRED = -1

Action = Callable[[int], None]


class Reactor:
    """Calls handlers when descriptors are ready, and actions when they are due."""

    def __init__(self) -> None:
        """Open the epoll, the timer and the wake-up descriptor."""
        self._epoll = select.epoll()
        self._timer = Timer()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._heap: list[tuple[int, int, Action]] = []
        self._order = count()
        self._armed_ns = 0
        self._ran_ns = 0
        self._stopped = False
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)

    def fileno(self) -> int:
        """Return the epoll descriptor, readable whenever `turn` has something to do."""
        return self._epoll.fileno()

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        """Call `handler(event mask)` whenever `fd` can be read."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def want_write(self, fd: int, *, wanted: bool) -> None:
        """Also call the handler when `fd` can be written, or stop doing so."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Forget `fd`; call it before closing."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Return True between `add` and `remove` of `fd`."""
        return fd in self._handlers

    def call_at(self, due_ns: int, action: Action) -> None:
        """Call `action(now_ns)` at CLOCK_MONOTONIC `due_ns`; equal times keep their order."""
        heappush(self._heap, (due_ns, next(self._order), action))

    def turn(self) -> None:
        """Do everything that is ready now, then set the timer for what is due next."""
        self._dispatch(0)
        self._run_due()
        due_ns = self._heap[0][0] if self._heap else 0
        if due_ns != self._armed_ns or due_ns <= time.monotonic_ns():
            self._arm(due_ns)

    def run(self) -> None:
        """Work until `stop` is called, sleeping while nothing is ready.

        Where deadlines are sparse it wakes a little early and polls until they have come.
        """
        heap = self._heap
        now_ns = time.monotonic_ns
        while not self._stopped:
            timeout: int | None = None
            if heap:
                wake_ns = heap[0][0]
                if wake_ns - self._ran_ns >= _SPARSE_NS:
                    wake_ns -= _SPIN_NS
                if wake_ns <= now_ns():
                    timeout = 0
                elif wake_ns != self._armed_ns:
                    self._arm(wake_ns)
            elif self._armed_ns:
                self._arm(0)
            self._dispatch(timeout)
            self._run_due()

    def stop(self) -> None:
        """End `run` after the current turn; may be called from a signal handler."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Give all descriptors back."""
        self._handlers.clear()
        self._heap.clear()
        self._timer.close()
        os.close(self._wake)
        self._epoll.close()

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        self._timer.arm(due_ns)

    def _dispatch(self, timeout: int | None) -> None:
        handlers = self._handlers
        heap = self._heap
        now_ns = time.monotonic_ns
        for fd, mask in self._epoll.poll(timeout, _EVENTS_PER_TURN):
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
                if heap and heap[0][0] <= now_ns():
                    self._run_due()
            elif fd == self._timer.fd:
                self._armed_ns = _EXPIRED
            elif fd == self._wake:
                os.eventfd_read(self._wake)

    def _run_due(self) -> None:
        heap = self._heap
        now = time.monotonic_ns()
        while heap and heap[0][0] <= now:
            self._ran_ns = now
            heappop(heap)[2](now)
            now = time.monotonic_ns()
