"""How several servers share the load."""

from collections import Counter

import pytest

from steelyard.domain.bench.balance import STRATEGIES, chooser, least_loaded
from steelyard.kernel.errors import UsageError


def test_round_robin_takes_servers_in_turn():
    """By schedule index, so that every worker agrees."""
    choose = chooser("round_robin", 3, 42, [0] * 3)
    assert [choose(index) for index in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_random_is_a_function_of_seed_and_index():
    """Asked in any order, by any number of workers."""
    first, second = (chooser("random", 4, 42, [0] * 4) for _ in range(2))
    forward = [first(index) for index in range(1000)]
    backward = [second(index) for index in reversed(range(1000))]
    assert forward == backward[::-1]
    other = chooser("random", 4, 43, [0] * 4)
    assert forward != [other(index) for index in range(1000)]


def test_random_is_even():
    """10,000 draws over four servers: 2500 each, to within five standard deviations (217)."""
    choose = chooser("random", 4, 7, [0] * 4)
    counts = Counter(choose(index) for index in range(10_000))
    assert set(counts) == set(range(4))
    assert all(abs(count - 2500) < 217 for count in counts.values())


def test_random_servers_are_not_tied_to_random_entries():
    """The same seed draws the entries of the dataset; a server must not get always the same."""
    from steelyard.domain.bench.sampling import entry_of

    choose = chooser("random", 2, 42, [0, 0])
    pairs = Counter((choose(i), entry_of(i, 2, "random", 42)) for i in range(4000))
    assert min(pairs.values()) > 800


def test_the_server_with_the_least_under_way_is_taken():
    """The counts are looked at when the choice is made."""
    in_flight = [3, 1, 2]
    choose = chooser("least_in_flight", 3, 42, in_flight)
    assert choose(0) == 1
    in_flight[1] = 5
    assert choose(0) == 2


def test_equals_are_taken_in_turn():
    """An idle fleet is not one busy server and many idle ones."""
    assert [least_loaded([0, 0, 0], index) for index in range(4)] == [0, 1, 2, 0]
    assert [least_loaded([1, 0, 0], index) for index in range(4)] == [1, 1, 2, 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_server_gets_everything(strategy):
    """Whatever the strategy."""
    choose = chooser(strategy, 1, 42, [9])
    assert {choose(index) for index in range(50)} == {0}


def test_an_unknown_strategy_is_refused_with_a_hint():
    """The error names what there is."""
    with pytest.raises(UsageError, match="Did you mean 'random'"):
        chooser("randon", 2, 42, [0, 0])
