"""What earlier attempts took, and what that says of the next one."""

from collections import OrderedDict, deque

import msgspec

from steelyard.domain.fleet.model import Attempt, Ending, TaskSpec, Worker
from steelyard.kernel.units import NS_PER_S

UNKNOWN_S = 60.0
"""What a task is thought to take of which nothing is known, on a worker of speed 1."""
PAIRS_MAX = 20_000
"""Pairs of type and worker that are remembered; the one unused for longest goes first."""


def type_of(spec: TaskSpec) -> str:
    """Return what tasks are alike by: their kind, and the label `type` where they have one."""
    label = spec.labels.get("type", "")
    return f"{spec.kind}/{label}" if label else spec.kind


class _Recent:
    """The last values of a series and their sum."""

    __slots__ = ("total", "values")

    def __init__(self) -> None:
        self.values: deque[float] = deque()
        self.total = 0.0

    def add(self, value: float, window: int) -> None:
        self.values.append(value)
        self.total += value
        while len(self.values) > window:
            self.total -= self.values.popleft()

    @property
    def mean(self) -> float:
        return max(self.total, 0.0) / len(self.values)


class Share(msgspec.Struct, frozen=True):
    """What a worker takes of a task's size: 2 is twice as long.

    Attributes:
        seen: attempts of its type on that worker that this rests on.
    """

    share: float
    seen: int


class History:
    """Durations by type of task and by worker, the last `window` of each pair.

    What a task's author expects, `estimate_s`, scales what was seen: a task of twice the estimate
    is thought to take twice as long. What was seen of a type anywhere serves for a worker where it
    was not seen yet, by the workers' `speed`.
    """

    def __init__(self, window: int = 100) -> None:
        self.window = max(window, 1)
        self._pairs: OrderedDict[tuple[str, str], _Recent] = OrderedDict()
        self._types: dict[str, _Recent] = {}
        self._noted: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many pairs of type and worker are remembered."""
        return len(self._pairs)

    def note(self, spec: TaskSpec, attempt: Attempt, worker: Worker | None) -> None:
        """Take note of an attempt that succeeded; others say nothing of how long one takes."""
        outcome = attempt.outcome
        if outcome is None or outcome.ending is not Ending.SUCCEEDED:
            return
        taken_s = outcome.seconds or (
            (attempt.ended_ns - (attempt.started_ns or attempt.leased_ns)) / NS_PER_S
        )
        if taken_s <= 0:
            return
        share = taken_s / self.size_s(spec)
        kind = type_of(spec)
        self._noted[kind] = self._noted.get(kind, 0) + 1
        pair = self._pairs.setdefault((kind, attempt.worker_id), _Recent())
        self._pairs.move_to_end((kind, attempt.worker_id))
        pair.add(share, self.window)
        speed = worker.capabilities.speed if worker is not None else 1.0
        self._types.setdefault(kind, _Recent()).add(share * speed, self.window)
        if len(self._pairs) > PAIRS_MAX:
            (kind, _), _ = self._pairs.popitem(last=False)
            if len(self._types) > PAIRS_MAX:
                self._types.pop(kind, None)
                self._noted.pop(kind, None)

    def noted(self, kind: str) -> int:
        """Return how many attempts of a type were noted."""
        return self._noted.get(kind, 0)

    @staticmethod
    def size_s(spec: TaskSpec) -> float:
        """Return what its author thinks a task takes."""
        return spec.estimate_s or UNKNOWN_S

    def knows(self, kind: str, worker_id: str) -> bool:
        """Tell whether a worker has done a type lately."""
        return (kind, worker_id) in self._pairs

    def share(self, kind: str, worker: Worker) -> Share:
        """Return what a worker takes of the size of tasks of a type."""
        pair = self._pairs.get((kind, worker.worker_id))
        if pair is not None:
            return Share(pair.mean, len(pair.values))
        return Share(self.expected(kind) / (worker.capabilities.speed or 1.0), 0)

    def expected(self, kind: str) -> float:
        """Return what a worker of speed 1 takes of the size of tasks of a type."""
        known = self._types.get(kind)
        return known.mean if known is not None else 1.0

    def predict_s(self, spec: TaskSpec, worker: Worker) -> float:
        """Return how long a task is thought to take on a worker."""
        return self.size_s(spec) * self.share(type_of(spec), worker).share

    def expected_s(self, spec: TaskSpec) -> float:
        """Return how long a task is thought to take on a worker of speed 1."""
        return self.size_s(spec) * self.expected(type_of(spec))
