"""What counts as one number, whatever library it comes from."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from steelyard.domain.track.values import mark_of, number_document, to_scalar
from steelyard.kernel.errors import UsageError


class Tensor:
    """Behaves as torch's do: `item()` of one element, RuntimeError of more."""

    def __init__(self, *elements):
        self.elements = elements
        self.shape = (len(elements),)

    def item(self):
        if len(self.elements) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.elements[0]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (0, 0.0),
        (True, 1.0),
        (2.5, 2.5),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7.0),
        (np.bool_(True), 1.0),
        (np.array(3.0), 3.0),
        (np.array([[4.0]]), 4.0),
        (Tensor(0.25), 0.25),
        (Decimal("-Infinity"), -math.inf),
        (np.float32("inf"), math.inf),
    ],
)
def test_one_number_is_a_scalar_in_whatever_it_comes(given, value):
    taken = to_scalar(given)
    assert (taken, type(taken)) == (value, float)


@pytest.mark.parametrize("given", [10**400, -(10**400), Decimal("1e400"), Fraction(10**400)])
def test_a_finite_number_that_no_float_holds_does_not_become_infinite(given):
    with pytest.raises(UsageError, match="'loss' is finite and larger than a float can hold"):
        to_scalar(given, "loss")


@pytest.mark.parametrize("given", [math.nan, np.float64("nan"), Decimal("NaN"), Decimal("sNaN")])
def test_nan_is_kept(given):
    assert math.isnan(to_scalar(given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0.5", "'loss' is not a number"),
        (None, "'loss' is not a number"),
        (1 + 2j, "'loss' is not a number"),
        ({"a": 1}, "'loss' is not a number"),
        (np.array([1.0, 2.0]), r"more than one number; got 'ndarray of shape \(2,\)'"),
        (Tensor(1.0, 2.0), "more than one number"),
        (np.array(["x"]), "'loss' is not a number"),
    ],
)
def test_what_is_no_number_is_refused_by_name(given, words):
    with pytest.raises(UsageError, match=words):
        to_scalar(given, "loss")


@pytest.mark.parametrize(
    ("value", "mark"), [(math.nan, "nan"), (math.inf, "+inf"), (-math.inf, "-inf"), (0.0, "")]
)
def test_a_number_that_is_not_finite_is_marked(value, mark):
    assert mark_of(value) == mark
    document = number_document(value)
    assert document == ({"value": None, "non_finite": mark} if mark else value)


def test_a_missing_number_is_no_marked_one():
    assert number_document(None) is None
