"""Which step a value belongs to."""

import threading

import numpy as np
import pytest

from steelyard.domain.track.steps import STEP_MAX, Steps, one_step, to_step
from steelyard.kernel.errors import UsageError


def test_each_metric_counts_from_zero_by_itself():
    steps = Steps()
    taken = [steps.take(name) for name in ("a", "a", "b", "a", "b")]
    assert taken == [0, 1, 0, 2, 1]


def test_step_zero_is_a_step():
    steps = Steps()
    assert (steps.take("a", 5), steps.take("a", 0), steps.take("a")) == (5, 0, 1)


@pytest.mark.parametrize("step", [STEP_MAX + 1, 2**64, 10**30, 1e300, np.uint64(2**63)])
def test_a_step_that_no_table_holds_is_refused(step):
    with pytest.raises(UsageError, match=r"0 to 2\*\*62"):
        to_step(step)
    assert to_step(STEP_MAX) == STEP_MAX


def test_a_step_that_python_will_not_write_is_refused_in_words():
    with pytest.raises(UsageError) as caught:
        to_step(10**5_000)
    assert "a number of 16610 bits" in str(caught.value)


def test_a_step_has_two_names_that_may_not_differ():
    assert [one_step(3, None), one_step(None, 3), one_step(3, 3)] == [3, 3, 3]
    with pytest.raises(UsageError, match="two names of one thing"):
        one_step(3, 4)


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


def test_collectors_have_steps_of_their_own_whatever_iteration_is_set():
    steps = Steps()
    steps.iteration = 40
    assert [steps.take_own(["a", "b"]) for _ in range(3)] == [0, 1, 2]
    assert steps.take("loss") == 40
    assert steps.take_own(["a", "new"]) == 3
    assert steps.take_own(["new"]) == 4
