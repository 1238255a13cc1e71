"""Steps of a load at random times."""

import numpy as np

from steelyard.builtin.ramp.poisson import PoissonRamp


def test_the_last_step_comes_as_the_ramp_ends() -> None:
    """The gaps are random, their sum is not."""
    offsets = PoissonRamp(5.0, 42, 0).offsets_ns(64)
    assert offsets[0] == 0
    assert offsets[-1] == 5_000_000_000


def test_gaps_are_those_of_a_poisson_process() -> None:
    """Their mean is the duration over the steps, and their spread is as large as their mean."""
    gaps = np.diff(PoissonRamp(100.0, 7, 0).offsets_ns(20_001)) / 1e9
    assert abs(gaps.mean() - 0.005) < 1e-9
    assert 0.95 < gaps.std() / gaps.mean() < 1.05


def test_seeds_and_phases_draw_apart() -> None:
    """Another seed or phase steps at other times."""
    one = PoissonRamp(5.0, 1, 0).offsets_ns(20)
    assert not np.array_equal(one, PoissonRamp(5.0, 2, 0).offsets_ns(20))
    assert not np.array_equal(one, PoissonRamp(5.0, 1, 1).offsets_ns(20))
