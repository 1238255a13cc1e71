"""Ramp `poisson`: the load grows in steps at random times."""

import numpy as np

from steelyard.domain.bench.arrival import STREAM_RAMP, generator
from steelyard.domain.bench.ramp import stepped_elapsed_s
from steelyard.kernel.units import NS_PER_S

_RATE_STEPS = 100


class PoissonRamp:
    """Steps after exponential gaps, scaled so that the last comes at the end of the duration.

    A rate grows in 100 equal steps at the times of `offsets_ns(100)`.
    """

    def __init__(self, duration_s: float, seed: int, phase: int) -> None:
        self._duration_s = duration_s
        self._seed = seed
        self._phase = phase

    def offsets_ns(self, steps: int) -> np.ndarray:
        """Return int64 ns after the phase's start at which each of `steps` steps is reached."""
        if steps <= 1:
            return np.zeros(steps, np.int64)
        gaps = generator(self._seed, STREAM_RAMP, self._phase, 0).exponential(1.0, steps - 1)
        reached = np.concatenate(([0.0], np.cumsum(gaps)))
        share = np.minimum(reached / reached[-1], 1.0)
        offsets: np.ndarray = np.floor(share * (self._duration_s * NS_PER_S)).astype(np.int64)
        return offsets

    def elapsed_s(self, worth_s: np.ndarray) -> np.ndarray:
        """Return when as much has been sent as the full rate sends in `worth_s` seconds."""
        return stepped_elapsed_s(self.offsets_ns(_RATE_STEPS) / NS_PER_S, worth_s)
