"""Shards of a suite are disjoint, complete, and of equal duration as far as that goes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.runtime.fleet.attempt_selection import shard_of

names = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40)).map(lambda t: f"{t[0]}.py::t{t[1]}"),
    unique=True,
)
durations = st.dictionaries(st.integers(0, 40).map(lambda n: f"a.py::t{n}"), st.floats(0, 100))


@given(names, durations, st.integers(1, 7), st.booleans(), st.randoms())
def test_every_test_is_in_one_shard_whatever_their_order(found, known, shards, grouped, chance):
    parts = []
    for shard in range(1, shards + 1):
        chance.shuffle(found)
        parts.append(shard_of(found, known, shard, shards, grouped=grouped))
    assert sum(len(part) for part in parts) == len(found)
    assert set().union(*parts) == set(found)
    if grouped:
        for file in "abc":
            assert sum(any(name.startswith(file) for name in part) for part in parts) <= 1


def test_the_longest_are_divided_first():
    seconds = {"a::1": 6.0, "a::2": 5.0, "a::3": 4.0, "a::4": 3.0, "a::5": 3.0, "a::6": 3.0}
    parts = [shard_of(list(seconds), seconds, shard, 2) for shard in (1, 2)]
    loads = [sum(seconds[name] for name in part) for part in parts]
    assert sorted(loads) == [12.0, 12.0]


def loads_of(seconds, shards):
    parts = [shard_of(list(seconds), seconds, shard, shards) for shard in range(1, shards + 1)]
    return [sum(seconds[name] for name in part) for part in parts]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.integers(2, 3))
def test_no_shard_lasts_longer_than_four_thirds_of_the_best(values, shards):
    """Beside every division there is."""
    seconds = {f"a::{n}": float(value) for n, value in enumerate(values)}
    best = min(
        max(sum(v for v, at in zip(values, places, strict=True) if at == n) for n in range(shards))
        for places in itertools.product(range(shards), repeat=len(values))
    )
    assert max(loads_of(seconds, shards)) <= 4 / 3 * best + 1e-9


def test_unknown_tests_count_as_the_median():
    seconds = {"a::slow": 9.0, "a::mid": 3.0, "a::fast": 1.0}
    found = [*seconds, "a::n1", "a::n2"]
    parts = [shard_of(found, seconds, shard, 2) for shard in (1, 2)]
    alone = next(part for part in parts if "a::slow" in part)
    # 9 s beside three of 3 s; then the last to the shard of fewer tests.
    assert alone == {"a::slow", "a::fast"}


def test_without_durations_shards_have_equal_counts():
    found = [f"a.py::t{n}" for n in range(10)]
    assert [len(shard_of(found, {}, shard, 3)) for shard in (1, 2, 3)] == [4, 3, 3]


@pytest.mark.parametrize("shard", [1, 2, 3])
def test_the_only_shard_has_all_and_a_surplus_one_nothing(shard):
    assert shard_of(["a::1"], {}, shard, 3) == ({"a::1"} if shard == 1 else set())
