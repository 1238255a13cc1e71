"""A worker's share of a limit on what is under way at once, and when its slots open."""

from bisect import bisect_right

UNBOUNDED = 1 << 62


class Slots:
    """How many of a worker's slots are open, and since when those were that nobody has used.

    Args:
        share: how many there are, None for no limit.
        openings_ns: when each opens after `start_ns`, ascending; None opens all at once.
        start_ns: when the phase starts, CLOCK_MONOTONIC.

    Attributes:
        open: how many are open, as of the last look; `UNBOUNDED` without a limit.
        fresh: how many of these have never been used.
        next_ns: when the next one opens; None when none is to come.
    """

    __slots__ = ("_opens", "_since_ns", "_start_ns", "_used", "fresh", "next_ns", "open")

    def __init__(self, share: int | None, openings_ns: list[int] | None, start_ns: int) -> None:
        self._start_ns = start_ns
        self._used = 0
        self._set(share, openings_ns, start_ns)

    def _set(self, share: int | None, openings_ns: list[int] | None, now_ns: int) -> None:
        self._since_ns = now_ns
        self._opens: list[int] = []
        self.next_ns: int | None = None
        self.open = UNBOUNDED if share is None else share
        if share is not None and openings_ns is not None:
            self._opens = [self._start_ns + opening for opening in openings_ns[:share]]
            self.look(now_ns)
        self.fresh = max(0, self.open - self._used)

    def look(self, now_ns: int) -> None:
        """Open what is due by now."""
        opens = self._opens
        self.open = bisect_right(opens, now_ns)
        self.next_ns = opens[self.open] if self.open < len(opens) else None
        self.fresh = max(0, self.open - self._used)

    def fresh_since_ns(self) -> int:
        """Return since when the first fresh slot has been open, or been this worker's."""
        opened_ns = self._opens[self._used] if self._used < len(self._opens) else 0
        return max(opened_ns, self._since_ns)

    def use(self) -> None:
        """Count the first fresh slot as used."""
        self._used += 1
        self.fresh -= 1

    def change(self, share: int | None, openings_ns: list[int] | None, now_ns: int) -> None:
        """Have other slots from now on; as many as were used count as used among them."""
        self._set(share, openings_ns, now_ns)
