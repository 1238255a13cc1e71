"""What is measured while a coordinator commits: how long tasks wait and run, and commits take."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from steelyard.domain.fleet.model import Attempt, Ending, Task
from steelyard.domain.fleet.states import TASK_HELD
from steelyard.kernel.clock import Clock
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ports import Change

LONG_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0)
"""Of what tasks do: from a hundredth of a second to half a day."""
SHORT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Of what the coordinator does."""

Watcher = Callable[[Change, float], None]


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed, in parts.

    Attributes:
        bounds: upper ends of all parts but the last, which has none; ascending.
        counts: observations of each part, one more than there are bounds.
        sum: of all of them.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


class Histogram:
    """Counts observations; one thread observes, any may look.

    Args:
        bounds: upper ends, ascending; what is larger than the last is counted too.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one that is no finite number is none."""
        if math.isfinite(value):
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def distribution(self) -> Distribution:
        """Return what was observed so far."""
        return Distribution(bounds=self._bounds, counts=tuple(self._counts), sum=self._sum)


class Measures:
    """What a coordinator measures, from its start to its end, whoever leads in between."""

    def __init__(self) -> None:
        self.queue_wait = Histogram(LONG_BOUNDS_S)
        self.scheduling_pass = Histogram(SHORT_BOUNDS_S)
        self.ledger_commit = Histogram(SHORT_BOUNDS_S)
        self.attempt_duration = Histogram(LONG_BOUNDS_S)
        # From 0, so that a rate counts the first of each too.
        self.attempts: Counter[str] = Counter({str(ending): 0 for ending in Ending})
        self._token = 0

    def begin(self, next_token: int) -> None:
        """Begin a reign: leases of before it were counted before, or by somebody else."""
        self._token = max(self._token, next_token)

    def saw(self, change: Change, took_s: float) -> None:
        """Take note of what a commit says of tasks and attempts, and of how long it took."""
        self.ledger_commit.observe(took_s)
        for task in change.tasks:
            if self._is_just_leased(task):
                self.queue_wait.observe(max(task.leased_ns - task.ready_ns, 0) / NS_PER_S)
        self._token = max(self._token, change.next_token)
        for attempt in change.attempts:
            self._over(attempt)

    def distributions(self) -> dict[str, Distribution]:
        """Return all of them by name, in seconds."""
        return {
            "queue_wait": self.queue_wait.distribution(),
            "attempt_duration": self.attempt_duration.distribution(),
            "scheduling_pass": self.scheduling_pass.distribution(),
            "ledger_commit": self.ledger_commit.distribution(),
        }

    def _is_just_leased(self, task: Task) -> bool:
        """Tell whether a task has a lease that no commit before had: tokens only grow."""
        return task.state in TASK_HELD and task.token >= self._token and task.ready_ns > 0

    def _over(self, attempt: Attempt) -> None:
        if attempt.outcome is not None:
            self.attempts[str(attempt.outcome.ending)] += 1
        if attempt.started_ns:
            self.attempt_duration.observe(max(attempt.ended_ns - attempt.started_ns, 0) / NS_PER_S)


class WatchedLedger(SqlLedger):
    """A ledger whose commits are told, once they hold, to those who watch.

    They are called in the thread of the commit while the machine waits: what they are shown does
    not change, and what they do with it must be short.

    Args:
        place: a path or a URL.
        clock: of the ledger, and to measure commits.
        watchers: told of a change, and of the seconds that it took.

    Raises:
        SteelyardError: as `SqlLedger`.
    """

    def __init__(self, place: str, clock: Clock, watchers: Sequence[Watcher]) -> None:
        self._watchers, self._stopwatch = tuple(watchers), clock
        super().__init__(place, clock)

    def commit(self, change: Change) -> None:
        """Remember a change; raises what the ledger does, and nobody is told then."""
        begun_ns = self._stopwatch.mono_ns()
        super().commit(change)
        took_s = (self._stopwatch.mono_ns() - begun_ns) / NS_PER_S
        for watch in self._watchers:
            watch(change, took_s)
