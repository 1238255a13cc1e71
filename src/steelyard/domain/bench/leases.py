"""A worker's leases: which schedule index it sends next, and how far each lease is."""

from collections.abc import MutableSequence

from steelyard.domain.bench.messages import Lease

NO_SLOT = -1


class _Open:
    """An open lease: where it stands, and its cells on the board."""

    __slots__ = ("cell", "lease_id", "next", "stride", "to")

    def __init__(self, lease: Lease, cell: int) -> None:
        self.next, self.to, self.stride = lease.index_from, lease.index_to, lease.stride
        self.lease_id = lease.lease_id
        self.cell = cell


def _next_of(lease: _Open) -> int:
    return lease.next


class LeaseBook:
    """The indices a worker may still send, always the lowest first.

    A reissued lease of a lost worker holds indices that are due before those at hand; taking the
    lowest index first sends them next.

    Args:
        cells: where pairs (lease id, next unsent index) are kept for others to read: the worker's
            row of the board. A lease beyond its size has no pair there.

    Attributes:
        unsent: how many indices are left to send.
        last_lease: the highest lease id taken over; ids only grow.
    """

    def __init__(self, cells: MutableSequence[int] | memoryview | None = None) -> None:
        self._cells = cells if cells is not None else [0, 0]
        self._free = list(range(len(self._cells) - 2, -1, -2))
        self._open: list[_Open] = []
        self.unsent = 0
        self.last_lease = 0

    def add(self, lease: Lease) -> None:
        """Take a lease over; an empty one counts as sent."""
        self.last_lease = max(self.last_lease, lease.lease_id)
        size = len(range(lease.index_from, lease.index_to, lease.stride))
        if size == 0:
            return
        self.unsent += size
        cell = self._free.pop() if self._free else NO_SLOT
        if cell != NO_SLOT:
            self._cells[cell + 1] = lease.index_from
            self._cells[cell] = lease.lease_id
        self._open.append(_Open(lease, cell))
        self._open.sort(key=_next_of)

    def peek(self) -> int | None:
        """Return the next index without taking it."""
        return self._open[0].next if self._open else None

    def take(self) -> int | None:
        """Return the next index and move past it; None when nothing is leased."""
        if not self._open:
            return None
        head = self._open[0]
        index = head.next
        head.next = after = index + head.stride
        self.unsent -= 1
        if head.cell != NO_SLOT:
            self._cells[head.cell + 1] = after
        if after >= head.to:
            self._close(head)
        elif len(self._open) > 1 and after > self._open[1].next:
            self._open.sort(key=_next_of)
        return index

    def _close(self, lease: _Open) -> None:
        self._open.remove(lease)
        if lease.cell != NO_SLOT:
            self._free.append(lease.cell)

    def spend_all(self) -> None:
        """Count what is unsent as done: this worker has sent its share."""
        for lease in self._open:
            lease.next = lease.to
            if lease.cell != NO_SLOT:
                self._cells[lease.cell + 1] = lease.to
        self.drop_all()

    def drop_all(self) -> None:
        """Give up what is unsent: the phase stops sending, or the leases ran out."""
        for lease in tuple(self._open):
            self._close(lease)
        self.unsent = 0

    def cursors(self) -> dict[int, int]:
        """Return lease id -> first unsent index of the open leases.

        Any other lease up to `last_lease` is done, so that no report is needed for its end, and
        a report that gets lost costs nothing.
        """
        return {lease.lease_id: lease.next for lease in self._open}
