"""When a collector is asked, what is kept of its answer, and when it is given up."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from steelyard.domain.track.collection import (
    DEPTH_MAX,
    FAILURES_MAX,
    VALUES_MAX,
    Beat,
    Health,
    check_period,
    numbers_in,
)
from steelyard.kernel.errors import UsageError

MS = 1_000_000


@pytest.mark.parametrize("period_s", [0.1, 1, 3600.0])
def test_a_period_of_a_tenth_of_a_second_or_more_is_taken(period_s):
    assert check_period(period_s) == period_s


@pytest.mark.parametrize("period_s", [0.0999, 0, -1, math.nan, math.inf, "1", True, None])
def test_any_other_period_is_refused(period_s):
    with pytest.raises(UsageError, match=r"period_s of 0\.1 seconds or more"):
        check_period(period_s)


def test_nested_answers_become_names_with_slashes():
    answer = {"cpu_freq": {"current": 2450.0}, "gpu": [{"load": 10}, {"load": 20}], "n": 1}
    assert numbers_in(answer, "x").values == {
        "x/cpu_freq/current": 2450.0, "x/gpu/0/load": 10.0, "x/gpu/1/load": 20.0, "x/n": 1.0,
    }  # fmt: skip


def test_numbers_of_all_kinds_are_taken_and_nothing_else():
    """NaN and infinities are numbers; texts, None, arrays and objects are not."""
    numbers = {
        "int": 1, "bool": True, "decimal": Decimal("0.5"), "fraction": Fraction(1, 4),
        "numpy": np.float32(0.5), "array0": np.array(2), "inf": math.inf,
    }  # fmt: skip
    others = {
        "text": "1", "none": None, "complex": 1j, "array": np.ones(1), "bytes": b"1",
        "object": object(), "huge": 10**400, "set": {1},
    }  # fmt: skip
    sample = numbers_in({**numbers, **others}, "x")
    assert set(sample.values) == {f"x/{name}" for name in numbers}
    assert sample.values["x/fraction"] == 0.25
    assert sample.beyond == 0


def test_what_is_beyond_the_bounds_is_counted():
    sample = numbers_in({"many": list(range(VALUES_MAX + 7))}, "x")
    assert (len(sample.values), sample.beyond) == (VALUES_MAX, 7)
    circle: dict[str, object] = {"n": 1}
    circle["self"] = circle
    sample = numbers_in(circle, "x")
    assert (len(sample.values), sample.beyond) == (DEPTH_MAX, 1)


def test_names_have_no_control_characters():
    assert numbers_in({"a\nb": 1, 3: 2}, "x").values == {"x/a_b": 1.0, "x/3": 2.0}


def test_beats_are_multiples_of_the_period_whatever_an_answer_takes():
    """Asked at 100, 203 and 317 ms: the next is due at 400 ms, not at 417."""
    beat = Beat(0.1, 0)
    for now_ms, next_ms in [(100, 200), (203, 300), (317, 400)]:
        beat.answered(now_ms * MS)
        assert beat.due_ns == next_ms * MS
    assert beat.missed == 0
    assert beat.wait_s(350 * MS) == pytest.approx(0.05)
    assert beat.wait_s(450 * MS) == 0


def test_beats_behind_a_slow_answer_are_missed_and_counted():
    """An answer from 100 to 450 ms covers the beats at 200, 300 and 400 ms."""
    beat = Beat(0.1, 0)
    beat.answered(450 * MS)
    assert (beat.due_ns, beat.missed) == (500 * MS, 3)


def test_a_collector_is_given_up_after_failures_in_a_row():
    health = Health()
    for _ in range(10):
        assert not any(health.failed("no") for _ in range(FAILURES_MAX - 1))
        health.worked()
    assert [health.failed(f"no {n}") for n in range(FAILURES_MAX)][-1]
    assert health.last == f"no {FAILURES_MAX - 1}"
    assert health.failures == 10 * (FAILURES_MAX - 1) + FAILURES_MAX
