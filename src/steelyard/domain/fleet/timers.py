"""What is due when: a heap from which nothing needs to be taken out early."""

import heapq

STALE_MAX = 64
"""Entries that no longer hold and that the heap may have beyond as many as hold."""


class Timers:
    """Keys with times; a later `set` of a key replaces the earlier one."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, tuple[str, str]]] = []
        self._due: dict[tuple[str, str], int] = {}

    def set(self, kind: str, name: str, at_ns: int) -> None:
        """Have `(kind, name)` due at this time."""
        key = (kind, name)
        if self._due.get(key) != at_ns:
            self._due[key] = at_ns
            heapq.heappush(self._heap, (at_ns, key))
            if len(self._heap) > 2 * len(self._due) + STALE_MAX:
                # An attempt may run for hours, and mostly does not: its end must not wait here.
                self._heap = [(due_ns, each) for each, due_ns in self._due.items()]
                heapq.heapify(self._heap)

    def __len__(self) -> int:
        """Return how many entries are kept, with those that no longer hold."""
        return len(self._heap)

    def names(self, kind: str) -> frozenset[str]:
        """Return what of a kind is due some time."""
        return frozenset(name for each, name in self._due if each == kind)

    def drop(self, kind: str, name: str) -> None:
        """Have it never due."""
        self._due.pop((kind, name), None)

    def take_due(self, now_ns: int) -> list[tuple[str, str]]:
        """Return and forget what is due, the earliest first."""
        taken: list[tuple[str, str]] = []
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, key = heapq.heappop(self._heap)
            if self._due.get(key) == at_ns:
                del self._due[key]
                taken.append(key)
        return taken

    def next_ns(self) -> int | None:
        """Return when something is due next."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
