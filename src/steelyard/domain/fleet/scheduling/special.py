"""Which worker has made which type of task its own."""

from collections import deque


class Specialties:
    """The types of the last attempts on each worker, `window` of them."""

    def __init__(self, window: int) -> None:
        self.window = max(window, 1)
        self._last: dict[str, deque[str]] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def note(self, worker_id: str, kind: str) -> None:
        """Take note of an attempt that succeeded."""
        last = self._last.setdefault(worker_id, deque())
        counts = self._counts.setdefault(worker_id, {})
        last.append(kind)
        counts[kind] = counts.get(kind, 0) + 1
        if len(last) > self.window:
            oldest = last.popleft()
            counts[oldest] -= 1
            if not counts[oldest]:
                del counts[oldest]

    def share(self, worker_id: str, kind: str) -> float:
        """Return how much of what a worker did lately was of this type, 0 to 1."""
        last = self._last.get(worker_id)
        return self._counts[worker_id].get(kind, 0) / len(last) if last else 0.0

    def of(self, worker_id: str) -> str:
        """Return the type that a worker did most of lately, empty without any."""
        counts = self._counts.get(worker_id)
        return max(sorted(counts), key=counts.__getitem__) if counts else ""

    def forget(self, known: set[str]) -> None:
        """Forget workers that are not `known`."""
        for worker_id in [each for each in self._last if each not in known]:
            del self._last[worker_id], self._counts[worker_id]

    def __len__(self) -> int:
        """Return of how many workers something is known."""
        return len(self._last)
