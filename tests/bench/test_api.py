"""The public Python API of the benchmark."""

import doctest
import subprocess
import sys

import pytest

import steelyard.bench


def test_every_public_name_is_there() -> None:
    """`__all__` says what `dir()` shows, and each name can be had."""
    assert dir(steelyard.bench) == sorted(steelyard.bench.__all__)
    for name in steelyard.bench.__all__:
        assert getattr(steelyard.bench, name) is not None


def test_the_example_in_the_docstring_runs() -> None:
    """What the page shows is executed, the run itself aside."""
    assert doctest.testmod(steelyard.bench).failed == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = steelyard.bench.nothing  # type: ignore[attr-defined]


def test_importing_it_costs_nothing() -> None:
    """No numpy, pydantic or duckdb before a name is used."""
    program = (
        "import sys, steelyard.bench;"
        "print([m for m in ('numpy', 'pydantic', 'duckdb', 'zmq') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
