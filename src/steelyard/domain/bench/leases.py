"""A worker's leases: which schedule index it sends next, and how far each lease is."""

from steelyard.domain.bench.messages import Lease


class LeaseBook:
    """The indices a worker may still send, always the lowest first.

    A reissued lease of a lost worker holds indices that are due before those at hand; taking the
    lowest index first sends them next.
    """

    def __init__(self) -> None:
        self._open: list[list[int]] = []
        self._sent_to: dict[int, int] = {}
        self._unsent = 0

    @property
    def unsent(self) -> int:
        """How many indices are left to send."""
        return self._unsent

    def add(self, lease: Lease) -> None:
        """Take a lease over; an empty one is reported as sent at once."""
        self._sent_to[lease.lease_id] = lease.index_from
        size = len(range(lease.index_from, lease.index_to, lease.stride))
        if size == 0:
            return
        self._unsent += size
        self._open.append([lease.index_from, lease.index_to, lease.stride, lease.lease_id])
        self._open.sort()

    def peek(self) -> int | None:
        """Return the next index without taking it."""
        return self._open[0][0] if self._open else None

    def take(self) -> int | None:
        """Return the next index and move past it; None when nothing is leased."""
        if not self._open:
            return None
        head = self._open[0]
        index = head[0]
        head[0] = after = index + head[2]
        self._unsent -= 1
        self._sent_to[head[3]] = after
        if after >= head[1]:
            del self._open[0]
        elif len(self._open) > 1 and after > self._open[1][0]:
            self._open.sort()
        return index

    def drop_all(self) -> None:
        """Give up what is unsent: the phase stops sending, or the leases ran out."""
        self._open.clear()
        self._unsent = 0

    def cursors(self) -> dict[int, int]:
        """Return lease id -> first unsent index, and forget the leases that are wholly sent."""
        result = dict(self._sent_to)
        still_open = {row[3] for row in self._open}
        self._sent_to = {k: v for k, v in self._sent_to.items() if k in still_open}
        return result

    def slots(self, count: int) -> list[tuple[int, int]]:
        """Return up to `count` pairs (lease id, next index) of the open leases."""
        return [(row[3], row[0]) for row in self._open[:count]]
