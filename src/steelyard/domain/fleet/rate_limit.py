"""Token buckets: how often each caller may come, with bounded memory of callers."""

from steelyard.kernel.units import NS_PER_S


class RateLimit:
    """One bucket a caller; full at first, refilled evenly.

    Args:
        per_s: refill, calls a second.
        burst: what a bucket holds.
        callers_max: callers remembered; beyond that the one unheard for longest is forgotten, whose
            bucket is full again by then or was never emptied.
    """

    def __init__(self, per_s: float, burst: int, callers_max: int = 10_000) -> None:
        self.per_s, self.burst, self.callers_max = per_s, burst, callers_max
        self._buckets: dict[str, tuple[float, int]] = {}

    def wait_s(self, caller: str, now_ns: int, *, take: bool = True) -> float:
        """Take one call, or return the seconds until there is one; 0 when it was taken.

        With `take` False, only tell.
        """
        level, at_ns = self._buckets.pop(caller, (float(self.burst), now_ns))
        level = min(level + max(now_ns - at_ns, 0) / NS_PER_S * self.per_s, float(self.burst))
        wait_s = 0.0 if level >= 1 else (1 - level) / self.per_s
        if take and not wait_s:
            level -= 1
        self._buckets[caller] = (level, now_ns)
        if len(self._buckets) > self.callers_max:
            del self._buckets[next(iter(self._buckets))]
        return wait_s
