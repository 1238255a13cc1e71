"""Arrival `gamma`: burstier or smoother than Poisson."""

import numpy as np

from steelyard.domain.bench.arrival import BLOCK, STREAM_ARRIVAL, GapSchedule, generator
from steelyard.domain.bench.plan import PhasePlan


class GammaArrival:
    """Gamma gaps with mean `1 / request_rate` seconds and shape `smoothness`.

    Shape 1 is Poisson; below 1 requests come in bursts, above 1 they come more evenly (the
    coefficient of variation of the gaps is `1 / sqrt(smoothness)`).
    """

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        shape = plan.smoothness
        scale_s = 1.0 / (float(plan.request_rate or 1.0) * shape)

        def draw(block: int) -> np.ndarray:
            return generator(seed, STREAM_ARRIVAL, phase, block).gamma(shape, scale_s, BLOCK)

        self.offsets_ns = GapSchedule(draw).offsets_ns
