"""The reference pages leave nothing out that a person may set."""

import re
from pathlib import Path

import pytest

import steelyard
from steelyard.app.config.fields import flag_fields
from steelyard.app.config.reference import environment_page
from steelyard.app.config.tree import SERVICE_VARIABLES

SOURCES = Path(steelyard.__file__).parent
INTERNAL = {"STEELYARD_TRACK_MIRROR"}
"""Passed from a script to the processes of its mirrors."""


def variables_read():
    """Return the tracker's variables that the code has constants for."""
    return {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r'= "(STEELYARD_TRACK_[A-Z]+)"', path.read_text(encoding="utf-8"))
    }


def test_every_variable_of_the_tracker_is_on_the_page():
    read = variables_read()
    assert len(read) >= 5
    page = environment_page()
    assert [name for name in sorted(read - INTERNAL) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", sorted(variables_read()))
def test_a_benchmark_beside_tracked_scripts_refuses_none_of_them(name):
    """It has the variable as a field, or knows that it is not for it."""
    fields = {field.env for field in flag_fields()}
    assert name in fields | SERVICE_VARIABLES
