"""Arrival `poisson`: independent users."""

import numpy as np

from steelyard.domain.bench.arrival import BLOCK, STREAM_ARRIVAL, GapSchedule, generator
from steelyard.domain.bench.plan import PhasePlan


class PoissonArrival:
    """Exponential gaps with mean `1 / request_rate` seconds."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        mean_s = 1.0 / float(plan.request_rate or 1.0)

        def draw(block: int) -> np.ndarray:
            return generator(seed, STREAM_ARRIVAL, phase, block).exponential(mean_s, BLOCK)

        self.offsets_ns = GapSchedule(draw).offsets_ns
