"""How a changing rate is kept right now: what was sent lately against what was due in that time."""

from collections import deque
from typing import Any

from steelyard.domain.bench.warp import WarpedArrival

WINDOW_S = 5.0


class RateProgress:
    """Remembers how much was sent over the last seconds of a phase.

    Args:
        arrival: the schedule.
        rate: its full rate, requests per second.
        count: how many requests the phase sends; None when something else ends it.
    """

    def __init__(self, arrival: WarpedArrival, rate: float, count: int | None) -> None:
        self._arrival = arrival
        self._rate = rate
        self._end_s = None if count is None else arrival.reached_s(count / rate)
        self._seen = deque([(0.0, 0, 0.0)])

    def at(self, elapsed_s: float, sent: int, *, over: bool) -> dict[str, Any]:
        """Return `sent_rate` and `target_rate` of the last seconds, and `sends_end_s`.

        Args:
            elapsed_s: since the phase's start.
            sent: requests so far.
            over: nothing more is sent; both rates are of the whole phase then.
        """
        seen = self._seen
        known: dict[str, Any] = {"sends_end_s": self._end_s}
        due = self._rate * self._arrival.worth_s(elapsed_s)
        if over:
            seen = deque([(0.0, 0, 0.0)])
        elif elapsed_s > seen[-1][0]:
            seen.append((elapsed_s, sent, due))
            while seen[1][0] <= elapsed_s - WINDOW_S:
                seen.popleft()
        since_s, before, due_before = seen[0]
        span_s = elapsed_s - since_s
        if span_s > 0 and sent:
            known["sent_rate"] = (sent - before) / span_s
            known["target_rate"] = (due - due_before) / span_s
        return known
