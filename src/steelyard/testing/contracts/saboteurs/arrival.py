"""Arrivals with one fault each, over a constant beat."""

from typing import Any

import numpy as np

from steelyard.domain.bench.plan import PhasePlan
from steelyard.testing.contracts.arrival import ArrivalSubject


class Beat:
    """Conforms."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        self.gap_ns = 1e9 / (plan.request_rate or 1.0)
        self.seed = seed

    def offsets_ns(self, first: int, count: int) -> Any:
        """Return equal distances."""
        return np.rint(np.arange(first, first + count) * self.gap_ns).astype(np.int64)


class Floats(Beat):
    """Returns seconds."""

    def offsets_ns(self, first: int, count: int) -> Any:
        """As above, with the fault."""
        return super().offsets_ns(first, count) / 1e9


class DrawsPerCall(Beat):
    """Begins its random stream anew at each call: a slice depends on where it was cut."""

    def offsets_ns(self, first: int, count: int) -> Any:
        """As above, with the fault."""
        gaps = np.random.default_rng(self.seed).exponential(self.gap_ns, count)
        return (super().offsets_ns(first, count)[:1] + np.cumsum(gaps)).astype(np.int64)


class Remembers(Beat):
    """Goes on from where it was left."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        super().__init__(plan, phase, seed)
        self.asked = 0

    def offsets_ns(self, first: int, count: int) -> Any:
        """As above, with the fault."""
        self.asked += 1
        return super().offsets_ns(first + self.asked - 1, count)


class Jitters(Beat):
    """Adds jitter without sorting."""

    def offsets_ns(self, first: int, count: int) -> Any:
        """As above, with the fault."""
        indices = np.arange(first, first + count)
        jitter = (indices * 7919) % 13 * self.gap_ns / 4
        return super().offsets_ns(first, count) + jitter.astype(np.int64)


class HalfRate(Beat):
    """Takes the rate for that of a pair of workers."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        super().__init__(plan, phase, seed)
        self.gap_ns *= 2


HONEST = ArrivalSubject(Beat)

SABOTEURS = [
    ("test_offsets_are_whole_nanoseconds", ArrivalSubject(Floats)),
    ("test_a_slice_is_the_same_wherever_it_is_cut", ArrivalSubject(DrawsPerCall)),
    ("test_asking_changes_nothing", ArrivalSubject(Remembers)),
    ("test_time_never_runs_back", ArrivalSubject(Jitters)),
    ("test_the_mean_rate_is_the_plans", ArrivalSubject(HalfRate)),
]
