"""What Trackio can hold, and what tells a value that is sent again."""

import math

import msgspec
import pytest

from steelyard.builtin.backend.trackio import (
    TrackioBackend,
    artifact_name,
    log_ids,
    why_not,
    why_not_param,
)
from steelyard.domain.track.events import Metric, Params
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import points


def test_a_value_is_known_again_in_any_batch_that_begins_with_it():
    items = [*points(6), *points(2)]
    assert log_ids("r", items)[:4] == log_ids("r", items[:4])
    assert len(set(log_ids("r", items))) == len(items)


def test_all_that_tells_values_apart_is_in_their_ids():
    item = Metric(name="m", value=0.0, step=1, wall_ns=2)
    other = {"name": "n", "value": -0.0, "step": 2, "wall_ns": 3, "source": "system"}
    changed = [msgspec.structs.replace(item, **{key: value}) for key, value in other.items()]
    ids = [log_ids("r", [one])[0] for one in [item, *changed]] + log_ids("s", [item])
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["step", "project", "__x"])
def test_names_that_trackio_would_change_are_refused(name):
    assert f"'{name}'" in why_not(Metric(name=name, value=1.0, step=0, wall_ns=1))


def test_a_group_of_parameters_says_each_that_it_can_not_hold():
    values = {"_a": 1, "steelyard": 1, "big": [1 << 64], "text": {"x": "Infinity"}, "fine": "NaNs"}
    why = why_not(Params(values=values, wall_ns=1))
    assert all(f"'{name}'" in why for name in ("_a", "steelyard", "big", "text"))
    assert "fine" not in why


@pytest.mark.parametrize("value", [None, True, 1.5, math.nan, (1 << 64) - 1, -(1 << 63), [{}], "ä"])
def test_what_json_has_is_held(value):
    assert why_not_param("p", value) == ""


def test_names_of_artifacts_stay_apart():
    names = ["m.bin", "a/m", "a-m", "ä/m", "a/m-"]
    made = [artifact_name(name) for name in names]
    assert made[0] == "m.bin"
    assert len(set(made)) == len(made)
    assert all(name.isascii() and "/" not in name for name in made)


def test_it_must_be_open_to_log(tmp_path):
    with pytest.raises(PluginError, match="not open"):
        TrackioBackend(str(tmp_path)).log(points(1))
