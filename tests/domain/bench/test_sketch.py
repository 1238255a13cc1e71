import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.sketch import LARGEST, SMALLEST, Sketch

sizes = st.floats(SMALLEST, LARGEST)
numbers = st.one_of(sizes, sizes.map(lambda x: -x), st.just(0.0))
lists = st.lists(numbers, max_size=60)
alphas = st.sampled_from([0.001, 0.01, 0.1])
ROUNDING = 1e-9


def sketch_of(values: list[float], alpha: float = 0.01) -> Sketch:
    sketch = Sketch(alpha)
    sketch.add(np.array(values))
    return sketch


@given(values=lists.filter(len), q=st.floats(0, 1), alpha=alphas)
def test_a_quantile_is_within_alpha_of_the_true_one(values, q, alpha):
    true = sorted(values)[math.floor(q * (len(values) - 1))]
    got = sketch_of(values, alpha).quantile(q)
    assert abs(got - true) <= (alpha + ROUNDING) * abs(true)


@given(first=lists, second=lists, third=lists)
def test_merging_is_exact_in_any_order(first, second, third):
    whole = sketch_of([*first, *second, *third])
    one, two, three = map(sketch_of, (first, second, third))
    two.merge(three)
    one.merge(two)
    assert one == whole
    back = sketch_of(third)
    back.merge(sketch_of(first))
    back.merge(sketch_of(second))
    assert back == whole


@given(values=lists, alpha=alphas)
def test_a_sketch_survives_its_bytes(values, alpha):
    sketch = sketch_of([*values, math.nan, 1e15], alpha)
    assert Sketch.decode(sketch.encode()) == sketch


def test_the_ends_are_exact():
    sketch = sketch_of([3.0, 1.0, 2.0])
    assert (sketch.quantile(0), sketch.low, sketch.high) == (1.0, 1.0, 3.0)
    assert sketch.count == 3


def test_values_out_of_range_are_counted():
    """1e-12 is zero, 1e15 is clamped (its quantile stays below the limit), NaN and inf are out."""
    sketch = sketch_of([1e-12, -1e-12, 5.0, 1e15, math.nan, math.inf, -math.inf])
    assert (sketch.count, sketch.clamped, sketch.ignored) == (4, 1, 3)
    assert sketch.quantile(0.25) == 0.0
    assert sketch.quantile(1) == pytest.approx(LARGEST, rel=0.03)


def test_an_empty_sketch_has_no_quantile():
    assert Sketch().quantile(0.5) is None
    assert sketch_of([math.nan]).quantile(0.5) is None


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1e-9, math.nan])
def test_an_alpha_without_meaning_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        Sketch(alpha)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q):
    with pytest.raises(ValueError, match="quantile"):
        sketch_of([1.0]).quantile(q)


def test_sketches_of_different_errors_do_not_merge():
    with pytest.raises(ValueError, match="don't merge"):
        Sketch(0.01).merge(Sketch(0.02))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [10], [1, 2]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [10, 10], [1, 2]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [10**9], [1]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [-1], [1]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [10], [-1]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, 0, 0, [10], [2**63]]),
        msgspec.msgpack.encode([0.01, 1.0, 1.0, -1, 0, [10], [1]]),
        msgspec.msgpack.encode([0.01, math.nan, 1.0, 0, 0, [10], [1]]),
        msgspec.msgpack.encode([2.0, 1.0, 1.0, 0, 0, [10], [1]]),
    ],
)
def test_bytes_that_are_no_sketch_are_refused(data):
    with pytest.raises(ValueError, match=r"not a sketch|alpha"):
        Sketch.decode(data)
