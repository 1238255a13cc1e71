"""Parameters in every structure that scripts have them in."""

import argparse
import enum
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest

from steelyard.domain.track.params import DEPTH_MAX, PARAMS_MAX, TEXT_MAX, flatten_params
from steelyard.kernel.errors import UsageError


class Colour(enum.Enum):
    RED = "red"
    ODD = (1, 2)


@dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Config:
    optimizer: Optimizer = field(default_factory=Optimizer)
    layers: list[Any] = field(default_factory=lambda: [{"size": 8}, {"size": 4}])


class Model(pydantic.BaseModel):
    depth: int = 3


class Struct(msgspec.Struct):
    width: int = 2


Point = namedtuple("Point", "x y")  # noqa: PYI024  scripts have these too


@pytest.mark.parametrize(
    ("given", "flat"),
    [
        ({"a": {"b": {"c": 1}}, "d": 2}, {"a.b.c": 1, "d": 2}),
        (
            Config(),
            {
                "optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.99], "layers.0.size": 8,
                "layers.1.size": 4,
            },
        ),
        (Model(), {"depth": 3}),
        (Struct(), {"width": 2}),
        (argparse.Namespace(lr=0.1, seed=None), {"lr": 0.1, "seed": None}),
        (SimpleNamespace(a=True), {"a": True}),
        ({"p": Point(1, 2)}, {"p.x": 1, "p.y": 2}),
        ({"empty": {}, "list": []}, {"empty": {}, "list": []}),
        ({1: {2: 3}}, {"1.2": 3}),
    ],
)  # fmt: skip
def test_structures_become_dotted_names(given, flat):
    assert flatten_params(given) == flat


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array(2), 2),
        (Colour.RED, "red"),
        (Colour.ODD, "ODD"),
        (Path("/x/y"), "/x/y"),
        ({3, 1}, [1, 3]),
        (2**80, str(2**80)),
        (Optimizer, str(Optimizer)),
    ],
)
def test_values_become_plain(given, plain):
    assert flatten_params({"p": given}) == {"p": plain}


def test_a_long_text_is_cut_and_says_so():
    kept = flatten_params({"p": "x" * (TEXT_MAX + 1)})["p"]
    assert (len(kept), kept[-1]) == (TEXT_MAX + 1, "…")


def test_text_that_no_file_holds_is_kept_as_its_escape():
    kept = flatten_params({"file-\udcff": "name-\udc80", "plain": "größe"})
    assert kept == {"file-\\udcff": "name-\\udc80", "plain": "größe"}


@pytest.mark.parametrize("power", [5_000, 100_000])
def test_a_number_that_python_will_not_write_in_decimal_is_kept_in_hexadecimal(power):
    value = -(10**power)
    kept = flatten_params({"p": value})["p"]
    assert kept.startswith(hex(value)[:1_000])
    assert len(kept) <= TEXT_MAX + 1


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5_000])
def test_a_name_that_can_not_be_used_is_refused(name):
    with pytest.raises(UsageError, match="The name of a parameter"):
        flatten_params({name: 1})


@pytest.mark.parametrize("given", ["text", 3, ["a"], None])
def test_what_has_no_names_is_refused(given):
    with pytest.raises(UsageError, match="Parameters have names"):
        flatten_params(given)


def test_two_parameters_of_one_name_are_refused():
    with pytest.raises(UsageError, match="Two parameters are called 'a.b'"):
        flatten_params({"a.b": 1, "a": {"b": 2}})


def test_a_circle_ends():
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(UsageError, match=f"at most {DEPTH_MAX} levels"):
        flatten_params(circle)


def test_their_number_is_bounded():
    with pytest.raises(UsageError, match=f"at most {PARAMS_MAX}"):
        flatten_params({"p": [{"x": i} for i in range(PARAMS_MAX + 1)]})
