"""A module's public names are imported when they are first used, and not before."""

import sys
from types import ModuleType

import pytest

from steelyard.runtime.lazy_names import lazy_names


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", made)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    made.__all__ = ["hls", "rgb_to_hls"]
    homes = {"rgb_to_hls": "colorsys", "hls": "colorsys:hls_to_rgb"}
    made.__getattr__, made.__dir__ = lazy_names("made_up", homes)
    return made


def test_a_name_is_imported_at_its_first_use_and_kept(module):
    assert "colorsys" not in sys.modules
    found = module.rgb_to_hls
    assert found is sys.modules["colorsys"].rgb_to_hls
    assert vars(module)["rgb_to_hls"] is found


def test_a_name_may_have_another_one_at_home(module):
    assert module.hls.__name__ == "hls_to_rgb"


def test_a_name_without_a_home_is_an_attribute_error_as_of_any_module(module):
    with pytest.raises(AttributeError, match="module 'made_up' has no attribute 'yiq'"):
        module.yiq  # noqa: B018  the look-up is what is tried
    assert not hasattr(module, "yiq")


def test_dir_shows_the_public_names(module):
    assert dir(module) == ["hls", "rgb_to_hls"]
