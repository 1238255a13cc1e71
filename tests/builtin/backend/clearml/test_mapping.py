"""ClearML's words for a run: no two metrics share a line, and texts say what they were."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.backend.clearml.mapping import (
    artifact_path,
    item_of,
    long_enough,
    name_of,
    put,
    tag_texts,
    text_of,
    title_and_series,
    why_not,
)
from steelyard.domain.track.events import Metric, Params


@given(st.text(alphabet="ab/", min_size=1, max_size=8))
def test_a_metric_is_found_again_by_its_plot_and_line(name):
    """So no two names have the same plot and line."""
    title, series = title_and_series(name)
    assert title
    assert series
    assert name_of(title, series) == name


def test_a_slash_parts_the_plot_from_the_line():
    assert title_and_series("val/top/5") == ("val/top", "5")
    assert title_and_series("loss") == ("loss", "loss")


@pytest.mark.parametrize(
    ("value", "text", "type_name"),
    [
        (0.1, "0.1", "float"),
        (None, "", "NoneType"),
        (True, "True", "bool"),
        ([1, None, "ä"], '[1,null,"ä"]', "list"),
        ({"a": {"b": 1}}, '{"a":{"b":1}}', "dict"),
        (math.nan, "nan", "float"),
        (1 << 70, str(1 << 70), "int"),
    ],
)
def test_a_parameter_is_a_text_with_the_name_of_its_type(value, text, type_name):
    assert text_of(value) == text
    assert item_of("General", "p", value)["type"] == type_name


def test_the_last_value_of_a_tag_is_shown():
    items = {}
    put(items, "Tags", {"a": "1", "b": "x=y"})
    put(items, "Tags", {"a": "2"})
    assert tag_texts(items) == ["a=2", "b=x=y"]


def test_numbers_that_clearml_would_change_are_refused():
    """It makes zeros of them."""
    for value in (math.nan, math.inf, -math.inf):
        assert "NaN" in why_not(Metric(name="m", value=value, step=0, wall_ns=1))
    assert "64 bits" in why_not(Metric(name="m", value=1.0, step=1 << 63, wall_ns=1))
    assert not why_not(Metric(name="m", value=1.0, step=-(1 << 63), wall_ns=1))
    assert not why_not(Params(values={"p": math.nan}, wall_ns=1))


def test_a_name_has_three_letters_at_least():
    assert [long_enough(name, "run") for name in ("", "ab", "abc")] == ["run ", "run ab", "abc"]


def test_files_of_one_name_in_two_folders_have_two_places():
    first, second = artifact_path("ä b/m?.bin"), artifact_path("c/m?.bin")
    assert first != second
    assert first.isascii()
    assert first.endswith("/m-.bin")
