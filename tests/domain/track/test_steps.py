"""Which step a value belongs to."""

import threading

import numpy as np
import pytest

from steelyard.domain.track.steps import Steps, to_step
from steelyard.kernel.errors import UsageError


def test_each_metric_counts_from_zero_by_itself():
    steps = Steps()
    taken = [steps.take(name) for name in ("a", "a", "b", "a", "b")]
    assert taken == [0, 1, 0, 2, 1]


def test_step_zero_is_a_step():
    steps = Steps()
    assert (steps.take("a", 5), steps.take("a", 0), steps.take("a")) == (5, 0, 1)


def test_a_set_iteration_is_the_step_of_all_that_states_none():
    steps = Steps()
    steps.iteration = 0
    assert (steps.take("a"), steps.take("b"), steps.take("a", 9)) == (0, 0, 9)
    steps.iteration = None
    assert (steps.take("a"), steps.take("b")) == (10, 1)


def test_metrics_logged_together_share_the_latest_step():
    steps = Steps()
    steps.take("a", 4)
    assert steps.take_for_all(["a", "b"]) == 5
    assert (steps.take("a"), steps.take("b")) == (6, 6)
    assert steps.take_for_all(["a", "b"], 2) == 2


def test_threads_share_the_count_without_giving_a_step_twice():
    steps, taken = Steps(), []

    def draw():
        taken.extend([steps.take("a") for _ in range(2_000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(8_000))


@pytest.mark.parametrize("given", [3, 3.0, np.int64(3), np.array(3)])
def test_a_whole_number_of_any_library_is_a_step(given):
    assert (to_step(given), type(to_step(given))) == (3, int)


@pytest.mark.parametrize("given", [-1, 1.5, "3", True, np.float64(0.5), [3]])
def test_what_is_no_step_is_refused(given):
    with pytest.raises(UsageError, match="A step counts from 0"):
        to_step(given)
