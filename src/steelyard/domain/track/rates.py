"""Rates from counters that only grow, and how often what is costly may be done."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

_NS = 1_000_000_000
_K = TypeVar("_K", bound=Hashable)


class Rates(Generic[_K]):
    """What counters grew by, per second, since they were last told.

    A counter that went back (a wrap, a device that came back) has no rate that time.
    """

    def __init__(self) -> None:
        self._counts: dict[_K, float] = {}
        self._told_ns = 0

    def per_s(self, counts: Mapping[_K, float], now_ns: int) -> dict[_K, float]:
        """Return the rate of each counter that was told before, and keep the counts."""
        elapsed_s = (now_ns - self._told_ns) / _NS
        rates = {
            key: (count - self._counts[key]) / elapsed_s
            for key, count in counts.items()
            if key in self._counts and count >= self._counts[key] and elapsed_s > 0
        }
        self._counts = dict(counts)
        self._told_ns = now_ns
        return rates


class Rarely:
    """Says when something is due that must not take more than a share of the time.

    Args:
        share: of the time that may go into it.
        at_least_s: between two times, however cheap it is.
    """

    def __init__(self, share: float, at_least_s: float = 0.0) -> None:
        self._share = share
        self._at_least_ns = int(at_least_s * _NS)
        self._due_ns = 0

    def is_due(self, now_ns: int) -> bool:
        """Tell whether it may be done now."""
        return now_ns >= self._due_ns

    def done(self, begun_ns: int, now_ns: int) -> None:
        """It was done, from `begun_ns` to now."""
        self._due_ns = now_ns + max(self._at_least_ns, int((now_ns - begun_ns) / self._share))
