"""What a type of task can hope for: how quick and how thrifty the workers are that would do."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from steelyard.domain.fleet.model import Worker
from steelyard.domain.fleet.scheduling.history import History

INF = float("inf")


class Outlook:
    """Workers, busy ones too, that would do for tasks of one type, by what earlier ones took.

    A share is what a worker takes of a task's size (`History.size_s`): 2 is twice as long. Who is
    the quickest and who the thriftiest stays as it was when this was made; what they take is what
    is known now. So nobody waits for a worker that would not be better.

    Attributes:
        noted: attempts of the type that it rests on.
    """

    def __init__(self, kind: str, workers: Sequence[Worker], history: History) -> None:
        pairs = sorted((history.share(kind, w).share, n, w) for n, w in enumerate(workers))
        self.noted = history.noted(kind)
        self._kind = kind
        self._history = history
        self._shares = [share for share, _, _ in pairs]
        self._slots = list(accumulate((w.slots for _, _, w in pairs), initial=0))
        self._work = list(accumulate((share * w.slots for share, _, w in pairs), initial=0.0))
        self._quickest = pairs[0][2] if pairs else None
        by_energy = [(power_w(worker) * share, n, worker) for share, n, worker in pairs]
        self._thriftiest = min(by_energy)[2] if by_energy else None

    @property
    def quickest(self) -> float:
        """Return the smallest share; infinite without workers."""
        worker = self._quickest
        return self._history.share(self._kind, worker).share if worker is not None else INF

    @property
    def thriftiest_w(self) -> float:
        """Return the least energy per second of size; infinite where nobody's power is known."""
        worker = self._thriftiest
        if worker is None:
            return INF
        return power_w(worker) * self._history.share(self._kind, worker).share

    def quicker(self, share: float) -> tuple[int, float]:
        """Return how many slots are quicker than `share`, and their mean share."""
        count = bisect_left(self._shares, share)
        slots = self._slots[count]
        return slots, self._work[count] / slots if slots else INF


def power_w(worker: Worker) -> float:
    """Return what a worker draws for one slot; infinite where that is unknown."""
    return worker.capabilities.power_w / max(worker.slots, 1) or INF
