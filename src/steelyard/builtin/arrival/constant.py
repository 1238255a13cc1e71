"""Arrival `constant`: evenly spaced requests."""

import numpy as np

from steelyard.domain.bench.arrival import constant_offsets_ns
from steelyard.domain.bench.plan import PhasePlan


class ConstantArrival:
    """One request every `1 / request_rate` seconds."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        del phase, seed  # nothing is drawn
        self._rate_per_s = float(plan.request_rate or 0.0)

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        """Return int64 ns after the phase's start of indices `first..first+count`."""
        return constant_offsets_ns(self._rate_per_s, first, count)
