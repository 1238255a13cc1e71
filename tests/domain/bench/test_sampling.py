"""Which entry a session spends is the same for every worker."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.sampling import SAMPLINGS, entries_of, entry_of
from steelyard.kernel.errors import UsageError


@given(
    first=st.integers(0, 10_000),
    count=st.integers(0, 300),
    entries=st.integers(1, 500),
    sampling=st.sampled_from(SAMPLINGS),
    seed=st.integers(-(2**63), 2**64),
)
def test_many_at_once_are_as_one_by_one(
    first: int, count: int, entries: int, sampling: str, seed: int
) -> None:
    """The vectorised form draws the same entries, all within bounds."""
    together = entries_of(first, count, entries, sampling, seed)
    alone = [entry_of(n, entries, sampling, seed) for n in range(first, first + count)]
    assert together.tolist() == alone
    assert all(0 <= entry < entries for entry in alone)


def test_sequential_walks_in_order() -> None:
    """Three entries come again and again."""
    assert [entry_of(n, 3, "sequential", 42) for n in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_each_walk_of_shuffle_visits_every_entry_in_a_new_order() -> None:
    """No entry is left out or taken twice within a walk."""
    walks = [entries_of(50 * turn, 50, 50, "shuffle", 42).tolist() for turn in range(4)]
    assert all(sorted(walk) == list(range(50)) for walk in walks)
    assert len({tuple(walk) for walk in walks}) == 4


def test_random_is_even() -> None:
    """A hundred thousand draws from ten entries: chi-square below its 99.99 % quantile."""
    counts = Counter(entries_of(0, 100_000, 10, "random", 42).tolist())
    chi_square = sum((counts[entry] - 10_000) ** 2 / 10_000 for entry in range(10))
    assert chi_square < 33.7  # 9 degrees of freedom


def test_neighbouring_seeds_draw_apart() -> None:
    """Seeds 1 and 2 agree no more often than chance."""
    one, two = (entries_of(0, 10_000, 10, "random", seed) for seed in (1, 2))
    assert np.mean(one == two) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_nothing_can_be_drawn_from_nothing(sampling: str) -> None:
    """No entries, or a session before the first, is an error."""
    for index, entries in ((0, 0), (-1, 5)):
        with pytest.raises(ValueError, match="no entry for session"):
            entry_of(index, entries, sampling, 42)


def test_an_unknown_sampling_names_what_is_close() -> None:
    """`shufle` is told `shuffle`."""
    with pytest.raises(UsageError, match="shuffle"):
        entry_of(0, 3, "shufle", 42)
