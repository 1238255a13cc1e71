"""The fleet's public Python API."""

import doctest
import importlib
import subprocess
import sys

import pytest

import steelyard.fleet


@pytest.mark.parametrize("name", steelyard.fleet.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(steelyard.fleet, name)
    assert name.isupper() or found.__doc__
    assert name in dir(steelyard.fleet)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Cordinator'"):
        steelyard.fleet.Cordinator  # noqa: B018  it raises


def test_the_example_on_its_page_runs():
    found = doctest.testmod(importlib.import_module("steelyard.fleet"), verbose=False)
    assert (found.failed, found.attempted) == (0, 3)


def test_to_write_tasks_down_needs_no_database():
    """What an import pays for is what it uses."""
    code = (
        "import sys\nfrom steelyard.fleet import Requirements, TaskSpec\n"
        "print(sorted({'sqlalchemy', 'asyncio', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
