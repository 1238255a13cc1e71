"""What a type of task can hope for: how quick and how thrifty the workers are that would do."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from steelyard.domain.fleet.model import Worker
from steelyard.domain.fleet.scheduling.history import History

INF = float("inf")


class Outlook:
    """Workers, busy ones too, that would do for tasks of one type, by what earlier ones took.

    A share is what a worker takes of a task's size (`History.size_s`): 2 is twice as long.

    Attributes:
        quickest: the smallest share; infinite without workers.
        thriftiest_w: the least energy per second of size; infinite where nobody's power is known.
    """

    def __init__(self, kind: str, workers: Sequence[Worker], history: History) -> None:
        pairs = sorted((history.share(kind, worker).share, worker.slots) for worker in workers)
        self._shares = [share for share, _ in pairs]
        self._slots = list(accumulate((slots for _, slots in pairs), initial=0))
        self._work = list(accumulate((share * slots for share, slots in pairs), initial=0.0))
        self.quickest = self._shares[0] if pairs else INF
        self.thriftiest_w = min(
            (power_w(worker) * history.share(kind, worker).share for worker in workers),
            default=INF,
        )

    def quicker(self, share: float) -> tuple[int, float]:
        """Return how many slots are quicker than `share`, and their mean share."""
        count = bisect_left(self._shares, share)
        slots = self._slots[count]
        return slots, self._work[count] / slots if slots else INF


def power_w(worker: Worker) -> float:
    """Return what a worker draws for one slot; infinite where that is unknown."""
    return worker.capabilities.power_w / max(worker.slots, 1) or INF
