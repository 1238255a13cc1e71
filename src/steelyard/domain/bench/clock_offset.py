"""How far the clock of a worker's machine is from the controller's, with a bound that holds.

An exchange has four stamps (RFC 5905, section 8): asked (worker), heard and answered (controller),
back (worker). A message takes some time, so what has to be added to the worker's clock is at most
`heard - asked` and at least `answered - back`: an interval that contains the truth whatever the
delays were, its middle the RFC's offset and its half width half of the round trip. Of many
exchanges the intersection is kept. Between two exchanges clocks drift, so what is kept is widened
by `DRIFT_MAX` per second.
"""

from typing import NamedTuple

import msgspec

DRIFT_MAX = 100e-6
"""Seconds per second by which two clocks may part: crystals stay below, and so does NTP's slewing
once it has settled. Clocks that part faster are noticed, as their intervals don't meet."""

_PPM = 1e6


class ClockExchange(NamedTuple):
    """The four stamps, CLOCK_MONOTONIC ns: of the worker, the controller (twice), the worker."""

    asked_ns: int
    heard_ns: int
    answered_ns: int
    back_ns: int

    @property
    def round_trip_ns(self) -> int:
        """How long the messages were under way."""
        return (self.back_ns - self.asked_ns) - (self.answered_ns - self.heard_ns)


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a worker's clock at some time of a run.

    Attributes:
        offset_ns: what was added to the worker's times to get the controller's.
        bound_ns: those times are off by at most this.
        drift_ppm, drift_bound_ppm: by how much the offset changes, and how sure that is.
        round_trip_ns: of the shortest exchange, 0 without one.
        exchanges: how many there were.
        jumps: how often the clocks parted faster than any drift: one of them was set or slept.
        same_clock: both read one clock, the offset is 0 by definition.
    """

    offset_ns: int
    bound_ns: int
    drift_ppm: float = 0.0
    drift_bound_ppm: float = 0.0
    round_trip_ns: int = 0
    exchanges: int = 0
    jumps: int = 0
    same_clock: bool = False


class ClockEstimate:
    """The offset of one worker, kept up through the run.

    Args:
        drift_max: by how much the clocks may part, in seconds per second.
    """

    def __init__(self, drift_max: float = DRIFT_MAX) -> None:
        self._drift_max = drift_max
        self._low_ns = self._high_ns = 0
        self._at_ns = 0
        self._first: tuple[int, float, float] | None = None
        self.exchanges = 0
        self.jumps = 0
        self.round_trip_ns = 0

    def add(self, exchange: ClockExchange) -> None:
        """Take one exchange in."""
        slack_ns = round(self._drift_max * (exchange.back_ns - exchange.asked_ns))
        low = exchange.answered_ns - exchange.back_ns - slack_ns
        high = exchange.heard_ns - exchange.asked_ns + slack_ns
        if self.exchanges:
            known_low, known_high = self.interval_ns(exchange.back_ns)
            if max(low, known_low) <= min(high, known_high):
                low, high = max(low, known_low), min(high, known_high)
            else:
                self.jumps += 1
                self._first = None
        self._low_ns, self._high_ns, self._at_ns = low, high, exchange.back_ns
        trip = exchange.round_trip_ns
        self.round_trip_ns = min(self.round_trip_ns, trip) if self.exchanges else trip
        self.exchanges += 1

    def settle(self) -> None:
        """Measure the drift from here on: call it when the first exchanges are in."""
        low, high = self.interval_ns(self._at_ns)
        self._first = (self._at_ns, (low + high) / 2, (high - low) / 2)

    def interval_ns(self, now_ns: int) -> tuple[int, int]:
        """Return the least and the greatest offset that are possible at `now_ns`, worker's time."""
        slack_ns = round(self._drift_max * max(0, now_ns - self._at_ns))
        return self._low_ns - slack_ns, self._high_ns + slack_ns

    def offset_ns(self, now_ns: int) -> int:
        """Return the middle of what is possible."""
        low, high = self.interval_ns(now_ns)
        return (low + high) // 2

    def error_ns(self, used_ns: int, now_ns: int) -> int:
        """Return by how much `used_ns` may be off from the true offset at `now_ns`."""
        low, high = self.interval_ns(now_ns)
        return max(high - used_ns, used_ns - low)

    def drift(self) -> tuple[float, float]:
        """Return the drift since `settle` and its bound, both in ppm; zeros when too little is."""
        if self._first is None or self._at_ns <= self._first[0]:
            return 0.0, 0.0
        at_ns, middle, half = self._first
        span = self._at_ns - at_ns
        now_middle = (self._low_ns + self._high_ns) / 2
        now_half = (self._high_ns - self._low_ns) / 2
        return (now_middle - middle) / span * _PPM, (now_half + half) / span * _PPM
