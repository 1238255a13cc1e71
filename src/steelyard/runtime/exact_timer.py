"""Deadlines kept more exactly than a sleeping processor wakes up.

A kernel brings a thread back some 50 to 200 us after its timer ran out, more on virtual machines.
Many gaps of a random schedule are shorter, and what fell due meanwhile would leave in one burst
(at 200 requests/s of Poisson arrivals, 3 % of them: a Kolmogorov-Smirnov test sees it). So the
timer is set earlier, by what wake-ups were late so far, and the rest is waited for awake: by
looking at the clock each time the event loop comes round, so that sockets are read meanwhile.
"""

import asyncio
import time
from collections.abc import Callable

from steelyard.runtime.timerfd import DeadlineTimer

LEAD_MAX_NS = 300_000
POLL_SHARE = 0.2
"""How much of the time may be waited awake; beyond it deadlines are as exact as wake-ups are."""

_LEAD_FIRST_NS = 200_000
# Steps up and down whose ratio makes the lead what 9 of 10 wake-ups are not later than.
_LATER_NS, _SOONER_NS = 9_000, 1_000
_CREDIT_MAX_NS = 20_000_000
_IDLE_ROUND_NS = 20_000  # a longer round of the loop did something else than to look at the clock
_now = time.monotonic_ns


class ExactTimer:
    """Calls back once at an absolute CLOCK_MONOTONIC time, never before it.

    Attributes:
        polled_ns: how long it has waited awake so far, for those who ask how busy a thread is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer = DeadlineTimer(loop, self._woken)
        self._due_ns = 0
        self._wake_ns = 0
        self._polling = False
        self._looked_ns = 0
        self._lead_ns = _LEAD_FIRST_NS
        self._credit_ns = _CREDIT_MAX_NS
        self._credited_ns = _now()
        self.polled_ns = 0

    def arm(self, at_ns: int) -> None:
        """Set the deadline, replacing the one before; a past one fires at once."""
        if at_ns != self._due_ns:
            self._due_ns = at_ns
            if not self._polling:
                self._wait(_now())

    def disarm(self) -> None:
        """Forget the deadline."""
        self._due_ns = 0
        self._timer.disarm()

    def close(self) -> None:
        """Release the timer; it never fires again."""
        self._due_ns = 0
        self._timer.close()

    def _wait(self, now_ns: int) -> None:
        earned_ns = int((now_ns - self._credited_ns) * POLL_SHARE)
        self._credit_ns = min(self._credit_ns + earned_ns, _CREDIT_MAX_NS)
        self._credited_ns = now_ns
        wake_ns = self._due_ns - (self._lead_ns if self._credit_ns > self._lead_ns else 0)
        if now_ns < wake_ns:
            self._wake_ns = wake_ns
            self._timer.arm(wake_ns)
        else:
            self._begin_to_poll(now_ns)

    def _woken(self) -> None:
        now_ns = _now()
        late_ns = now_ns - self._wake_ns
        step_ns = _LATER_NS if late_ns > self._lead_ns else -_SOONER_NS
        self._lead_ns = min(max(self._lead_ns + step_ns, 0), LEAD_MAX_NS)
        if self._due_ns == 0 or self._polling:
            return
        if now_ns >= self._due_ns:
            self._fire()
        else:
            self._begin_to_poll(now_ns)

    def _begin_to_poll(self, now_ns: int) -> None:
        self._polling = True
        self._looked_ns = now_ns
        self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        now_ns, due_ns = _now(), self._due_ns
        round_ns = now_ns - self._looked_ns
        self._credit_ns -= min(round_ns, _IDLE_ROUND_NS)
        if round_ns < _IDLE_ROUND_NS:
            self.polled_ns += round_ns
        if due_ns == 0:
            self._polling = False
        elif now_ns >= due_ns:
            self._polling = False
            self._fire()
        elif due_ns - now_ns > LEAD_MAX_NS:  # it was armed anew meanwhile
            self._polling = False
            self._wait(now_ns)
        else:
            self._looked_ns = now_ns
            self._loop.call_soon(self._poll)

    def _fire(self) -> None:
        self._due_ns = 0
        self._callback()
