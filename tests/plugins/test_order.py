"""Plugins start after those they need; a circle or an unknown name is said clearly."""

import pytest

from steelyard.kernel.errors import PluginError
from steelyard.plugins.order import start_order


def test_each_comes_after_what_it_needs():
    needs = {"app": ["db", "log"], "db": ["log"], "log": [], "alone": []}
    order = start_order(needs)
    assert order.index("log") < order.index("db") < order.index("app")
    assert set(order) == set(needs)


def test_only_what_is_wanted_and_needed_starts():
    assert start_order({"a": ["b"], "b": [], "c": []}, ["a"]) == ["b", "a"]


def test_a_circle_names_its_members():
    with pytest.raises(PluginError, match="wait for each other: .*a.* -> .*b.*") as caught:
        start_order({"a": ["b"], "b": ["a"], "c": []})
    assert "c" not in caught.value.what.split(": ")[1]


def test_a_plugin_that_needs_itself_is_a_circle():
    with pytest.raises(PluginError, match="a -> a"):
        start_order({"a": ["a"]})


def test_an_unknown_need_names_who_needs_it():
    with pytest.raises(PluginError, match="Plugin 'a' needs plugin 'datbase'") as caught:
        start_order({"a": ["datbase"], "database": []})
    assert "Did you mean 'database'?" in str(caught.value)


def test_an_unknown_wish_is_refused():
    with pytest.raises(PluginError, match="There is no plugin 'z'"):
        start_order({"a": []}, ["z"])
