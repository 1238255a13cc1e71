"""What users and projects used of the fleet, over a window that slides."""

from collections.abc import Iterable

BUCKETS = 96
"""A window slides in so many steps: what is kept does not grow with the attempts in it."""


class Usage:
    """Slot seconds by name, within the last `window_s` seconds to a 96th part of them."""

    def __init__(self, window_s: float) -> None:
        self.step_ns = max(int(window_s * 1e9 / BUCKETS), 1)
        self._buckets: dict[int, dict[str, float]] = {}
        self._totals: dict[str, float] = {}

    def add(self, name: str, seconds: float, at_ns: int) -> None:
        """Add what was used until `at_ns`."""
        bucket = self._buckets.setdefault(at_ns // self.step_ns, {})
        bucket[name] = bucket.get(name, 0.0) + seconds
        self._totals[name] = self._totals.get(name, 0.0) + seconds

    def expire(self, now_ns: int) -> None:
        """Forget what lies before the window."""
        first = now_ns // self.step_ns - BUCKETS
        old = [number for number in self._buckets if number <= first]
        if not old:
            return
        for number in old:
            del self._buckets[number]
        self._totals = {}
        for bucket in self._buckets.values():
            for name, seconds in bucket.items():
                self._totals[name] = self._totals.get(name, 0.0) + seconds

    def of(self, name: str) -> float:
        """Return the slot seconds of a name."""
        return self._totals.get(name, 0.0)

    def names(self) -> Iterable[str]:
        """Return who used anything."""
        return self._totals.keys()
