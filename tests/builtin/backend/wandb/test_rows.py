"""Rows of W&B: whole, in order, with the step and time of each; and names that it takes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.backend.wandb.rows import (
    OURS,
    STEP,
    Row,
    artifact_name,
    config_of,
    project_name,
    rows_of,
    tag_texts,
    unfit,
)
from steelyard.domain.track.events import Artifact, Metric, Params, Tags

metrics = st.builds(
    Metric,
    name=st.sampled_from("abc"),
    value=st.floats(allow_nan=False),
    step=st.integers(0, 3),
    wall_ns=st.integers(0, 3 * 10**9),
)


@given(st.lists(metrics, max_size=30))
def test_rows_hold_every_value_in_order(items):
    """Whatever shares a row: each name's values, with their steps, are as they were logged."""
    rows = rows_of(items)
    for name in "abc":
        told = [(row.step, row.values[name]) for row in rows if name in row.values]
        assert told == [(item.step, item.value) for item in items if item.name == name]
    assert sum(len(row.values) for row in rows) == len(items)


def test_one_step_is_one_row_unless_it_is_long_ago():
    def at(name, seconds, step=0):
        return Metric(name=name, value=1.0, step=step, wall_ns=int(seconds * 10**9))

    rows = rows_of([at("a", 0), at("b", 0.5), at("c", 1.5), at("d", 1.6, step=1), at("d", 1.7, 1)])
    assert [sorted(row.values) for row in rows] == [["a", "b"], ["c"], ["d"], ["d"]]


def test_what_is_between_rows_stays_between_them():
    metric = Metric(name="a", value=1.0, step=0, wall_ns=0)
    other = Metric(name="b", value=1.0, step=0, wall_ns=0)
    params = Params(values={"p": 1}, wall_ns=0)
    told = rows_of([metric, params, other, Tags(values={"t": "1"}, wall_ns=0)])
    assert told == [Row(0, 0, {"a": 1.0}), params, Row(0, 0, {"b": 1.0}), {"t": "1"}]


def test_a_row_has_its_step_and_time():
    columns = Row(7, 1_500_000_000, {"a": 1.0}).columns()
    assert columns == {"a": 1.0, STEP: 7, "_timestamp": 1.5}


def test_only_what_would_break_a_row_is_refused():
    def artifact(name):
        return Artifact(name=name, sha256="", size=0, path="", wall_ns=0)

    for name in ("_step", "_timestamp", "_runtime", "_wandb", STEP):
        assert unfit(Metric(name=name, value=1.0, step=0, wall_ns=0))
    for name in ("../up", "/abs", "a/../b", ""):
        assert unfit(artifact(name))
    assert unfit(Params(values={OURS: 1, "other": 2}, wall_ns=0))
    assert not unfit(Metric(name="_mine", value=math.nan, step=0, wall_ns=0))
    assert not unfit(artifact("a/..b/c"))


def test_numbers_that_json_has_not_are_texts_in_the_configuration():
    """W&B would make null of them."""
    values = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": 0.5, "e": None, OURS: 1}
    assert config_of(values) == {
        "a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": 0.5, "e": None,
    }  # fmt: skip


def test_names_become_what_wandb_takes():
    assert project_name("team/größe #1") == "team-größe-1"
    assert project_name("") == project_name("//") == "uncategorized"
    assert len(project_name("x" * 300)) == 128
    assert tag_texts({"k": "v", "bare": "", "long": "x" * 64}) == ("k=v", "bare")
    assert artifact_name("r1", "model.bin") == "run-r1-model.bin"
    names = {artifact_name("r1", name) for name in ("a/b", "a-b", "a b", "x" * 300, "x" * 301)}
    assert len(names) == 5
    assert all(len(name) <= 128 and "/" not in name for name in names)
