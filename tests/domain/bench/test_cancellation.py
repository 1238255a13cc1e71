"""Which requests are given up."""

import numpy as np
import pytest

from steelyard.domain.bench.cancellation import CancelDraws

MANY = 20_000


def drawn(rate: float, *, seed: int = 1, phase: int = 0, turn: int = 0) -> list[bool]:
    draws = CancelDraws(seed, phase, rate)
    return [draws.given_up(index, turn) for index in range(MANY)]


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    """To four standard deviations."""
    tolerance = 4 * np.sqrt(rate * (1 - rate) / MANY)
    assert np.mean(drawn(rate)) == pytest.approx(rate, abs=tolerance)


def test_none_and_all_are_exact() -> None:
    """The ends of the scale leave nothing to chance."""
    assert not any(drawn(0.0))
    assert all(drawn(1.0))


def test_any_worker_draws_the_same_for_an_index() -> None:
    """In whatever order, over more blocks than are kept."""
    whole = drawn(0.5)
    draws = CancelDraws(1, 0, 0.5)
    for index in (MANY - 1, 0, 1023, 1024, 7_777, 5):
        assert draws.given_up(index) is whole[index]


def test_turns_phases_and_seeds_are_drawn_apart() -> None:
    """About half of what is given up in one is not in the other, at a rate of one half."""
    first = np.array(drawn(0.5))
    for other in (drawn(0.5, turn=1), drawn(0.5, phase=1), drawn(0.5, seed=2)):
        assert np.mean(first == np.array(other)) == pytest.approx(0.5, abs=0.02)


def test_a_higher_rate_gives_up_what_a_lower_one_does() -> None:
    """And more: two runs at different rates differ in nothing else."""
    low, high = np.array(drawn(0.1)), np.array(drawn(0.4))
    assert (high[low]).all()
