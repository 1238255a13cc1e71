"""Fewer values for a mirror: every n-th, one an interval, at most so many a second.

All is decided by the times at which values were logged, in the order of the journal, so that a
mirror that starts again decides alike.
"""

import math
from enum import StrEnum

import msgspec

from steelyard.domain.track.events import Logged, Metric
from steelyard.kernel.units import NS_PER_S


class Keep(StrEnum):
    """Which value stands for those of an interval."""

    FIRST = "first"
    LAST = "last"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"


class Away(StrEnum):
    """Why a mirror is not told of an item.

    `HELD` is the first value of an interval: what stands for that interval is told later, and
    counted then.
    """

    RULE = "rule"
    SAMPLED = "sampled"
    HELD = "held"


Slot = Logged | Away
"""What becomes of an item: it is told, in a place of its own, or why it is not."""


class Sampling(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How values of metrics are thinned out; each process of a run is counted by itself.

    First every n-th of a metric is taken, or one an interval; then the limits count what is left.

    Attributes:
        every: the first value of a metric, and each n-th after it.
        interval_s: one value of a metric for each such stretch of time, from the epoch; 0 is none.
        keep: which one, for an interval. `mean` has the step and time of the last; `min` and `max`
            pass over NaN while there is another.
        metric_per_s: at most so many values a second of each metric; 0 is any.
        total_per_s: at most so many a second of all metrics that this is for; 0 is any.

    Raises:
        ValueError: a number is out of its range, or both `every` and `interval_s` are given.
    """

    every: int = 1
    interval_s: float = 0.0
    keep: Keep = Keep.LAST
    metric_per_s: float = 0.0
    total_per_s: float = 0.0

    def __post_init__(self) -> None:
        """Check what types can't say."""
        if self.every < 1:
            message = f"every must be 1 or more, got {self.every}"
            raise ValueError(message)
        for name in ("interval_s", "metric_per_s", "total_per_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                message = f"{name} must be a number from 0 on, got {value}"
                raise ValueError(message)
        if self.every > 1 and self.interval_s:
            message = "every and interval_s are two ways of thinning out; take one"
            raise ValueError(message)
        if self.keep != Keep.LAST and not self.interval_s:
            message = f"keep is for an interval; give interval_s with keep={self.keep}"
            raise ValueError(message)

    @property
    def interval_ns(self) -> int:
        """Length of an interval; 0 without one."""
        return math.ceil(self.interval_s * NS_PER_S)


class _Interval:
    """The values of one metric in one stretch of time."""

    def __init__(self, number: int, first: Metric) -> None:
        self.number = number
        self._kept = first
        self._sum = first.value
        self._count = 1

    def add(self, item: Metric, keep: Keep) -> None:
        self._sum += item.value
        self._count += 1
        if keep is Keep.MIN or keep is Keep.MAX:
            kept, new = self._kept.value, item.value
            if not (math.isnan(kept) or (new < kept if keep is Keep.MIN else new > kept)):
                return
        self._kept = item

    def value(self, keep: Keep) -> Metric:
        if keep is Keep.MEAN:
            return msgspec.structs.replace(self._kept, value=self._sum / self._count)
        return self._kept


class _Limit:
    """At most so many a second, and as many at once (the generic cell rate algorithm)."""

    def __init__(self, per_s: float) -> None:
        self._gap_ns = max(1, round(NS_PER_S / per_s))
        self._spare_ns = max(0, NS_PER_S - self._gap_ns)
        self._due_ns = 0
        self._latest_ns = 0

    def has_room(self, now_ns: int) -> bool:
        if now_ns < self._latest_ns:
            self._due_ns = now_ns  # the clock was set back: what it said before counts no more
        self._latest_ns = now_ns
        return self._due_ns - now_ns <= self._spare_ns

    def take(self, now_ns: int) -> None:
        self._due_ns = max(self._due_ns, now_ns) + self._gap_ns


class Sampler:
    """A sampling at work on the values of one process."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._interval_ns = sampling.interval_ns
        self._counts: dict[str, int] = {}
        self._intervals: dict[str, _Interval] = {}
        self._limits: dict[str, _Limit] = {}
        self._total = _Limit(sampling.total_per_s) if sampling.total_per_s else None

    def take(self, item: Metric) -> list[Slot]:
        """Return what becomes of a value, after what it brings to an end."""
        if self._interval_ns:
            return self._take_in_interval(item)
        if self._sampling.every > 1:
            count = self._counts.get(item.name, 0)
            self._counts[item.name] = count + 1
            if count % self._sampling.every:
                return [Away.SAMPLED]
        return [self._limited(item)]

    def close(self) -> list[Slot]:
        """Return what stands for the intervals that are not over."""
        keep = self._sampling.keep
        if keep is Keep.FIRST:
            return []  # they were told
        intervals, self._intervals = self._intervals, {}
        return [self._limited(interval.value(keep)) for interval in intervals.values()]

    def _take_in_interval(self, item: Metric) -> list[Slot]:
        keep, number = self._sampling.keep, item.wall_ns // self._interval_ns
        current = self._intervals.get(item.name)
        if current is not None and current.number == number:
            current.add(item, keep)
            return [Away.SAMPLED]
        self._intervals[item.name] = _Interval(number, item)
        if keep is Keep.FIRST:
            return [self._limited(item)]
        done = [self._limited(current.value(keep))] if current is not None else []
        return [*done, Away.HELD]

    def _limited(self, item: Metric) -> Slot:
        limits = [self._total] if self._total is not None else []
        if self._sampling.metric_per_s:
            if item.name not in self._limits:
                self._limits[item.name] = _Limit(self._sampling.metric_per_s)
            limits.append(self._limits[item.name])
        rooms = [limit.has_room(item.wall_ns) for limit in limits]
        if not all(rooms):
            return Away.SAMPLED
        for limit in limits:
            limit.take(item.wall_ns)
        return item
