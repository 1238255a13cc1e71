"""Ramp `linear`: the load grows evenly."""

import numpy as np

from steelyard.domain.bench.ramp import power_elapsed_s, power_offsets_ns


class LinearRamp:
    """The share of the full load is `t / duration`; equal steps come at equal distances."""

    def __init__(self, duration_s: float, seed: int, phase: int) -> None:
        del seed, phase  # nothing is drawn
        self._duration_s = duration_s

    def offsets_ns(self, steps: int) -> np.ndarray:
        """Return int64 ns after the phase's start at which each of `steps` steps is reached."""
        return power_offsets_ns(self._duration_s, 1, steps)

    def elapsed_s(self, worth_s: np.ndarray) -> np.ndarray:
        """Return when as much has been sent as the full rate sends in `worth_s` seconds."""
        return power_elapsed_s(self._duration_s, 1, worth_s)
