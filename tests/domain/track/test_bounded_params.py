"""Whatever structure is found gives something, within bounds."""

import enum
import functools
import pathlib
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.track.bounded_params import Bounds, take_params


class Colour(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    depth: int = 3
    key: pydantic.SecretStr = pydantic.SecretStr("x")


@dataclass
class Config:
    lr: float = 0.1
    layers: list[Any] = field(default_factory=lambda: [{"size": 8}, 4])


class Rude:
    """An object whose text must not be asked for."""

    def __str__(self):
        raise AssertionError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("structure", "values"),
    [
        ({"a": {"b": 1}}, {"a.b": 1}),
        (Config(), {"lr": 0.1, "layers.0.size": 8, "layers.1": 4}),
        (Model(), {"depth": 3, "key": "<pydantic.types.SecretStr>"}),
        ({"p": pathlib.PurePosixPath("/x"), "d": date(2026, 1, 2)}, {"p": "/x", "d": "2026-01-02"}),
        ({"c": Colour.RED, Colour.RED: 1}, {"c": "red", "red": 1}),
        ({"f": len, "t": Config}, {"f": "builtins.len", "t": f"{__name__}.Config"}),
        ({"p": functools.partial(len, [])}, {"p": "partial(builtins.len)"}),
        ({"a": np.zeros((2, 3))}, {"a": "<numpy.ndarray 2x3 float64>"}),
        ({"s": np.float32(0.5), "n": np.int64(3)}, {"s": 0.5, "n": 3}),
        ({"b": b"abc", "e": {}, "l": []}, {"b": "<3 bytes>", "e": {}, "l": []}),
        ({"r": Rude(), Rude(): 1}, {"r": f"<{__name__}.Rude>", f"<{__name__}.Rude>": 1}),
        ({"s": {3, 1}, "t": (1, "x")}, {"s": [1, 3], "t": [1, "x"]}),
    ],
)
def test_structures_become_plain_values(structure, values):
    assert take_params(structure).values == values


def test_a_single_value_is_named_by_its_prefix():
    assert take_params(0.1, "lr").values == {"lr": 0.1}
    assert take_params({"a": 1}, "model").values == {"model.a": 1}
    assert take_params(3).left_out == 1


def test_what_is_too_much_is_left_out_and_counted():
    bounds = Bounds(params_max=3, depth_max=2, items_max=2, text_max=4)
    assert take_params({str(i): i for i in range(9)}, bounds=bounds).left_out == 1
    assert take_params({"a": {"b": {"c": 1}}}, bounds=bounds).values == {}
    assert take_params({"a": {"b": {"c": 1}}}, bounds=bounds).left_out == 1
    assert take_params({"t": "abcdef"}, bounds=bounds).values == {"t": "abcd…"}
    assert take_params({"l": [1, 2, 3]}, bounds=bounds).values == {"l": [1, 2, "… 3 items"]}
    assert take_params({"l": [{"a": 1}] * 9}, bounds=Bounds(items_max=2)).left_out == 7


def test_names_that_no_index_holds_are_left_out():
    taken = take_params({"x" * 501: 1, "": 2, "a\0": 3, "1": 4, 1: 5})
    assert (taken.values, taken.left_out) == ({"1": 4}, 4)


def test_a_circle_and_a_bush_of_branches_end():
    circle: dict[str, Any] = {}
    circle["again"] = circle
    assert take_params(circle).values == {}
    bush: Any = {}
    for _ in range(12):
        bush = dict.fromkeys(range(12), bush or {"leaf": {}})
    assert take_params(bush).left_out > 0


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@given(
    st.dictionaries(
        st.text() | st.integers(),
        st.recursive(PLAIN, lambda x: st.lists(x) | st.dictionaries(st.text(), x)),
    )
)
def test_anything_can_be_taken(structure):
    taken = take_params(structure)
    assert all(isinstance(name, str) and name for name in taken.values)
