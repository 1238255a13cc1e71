"""What differs between runs."""

import math

import pytest

from steelyard.domain.track.diff import Difference, differences

ONE = {"param": {"lr": 0.1, "seed": 1}, "metric": {"loss": 0.5, "bad": math.nan}}
TWO = {"param": {"lr": 0.2, "seed": 1}, "metric": {"loss": 0.4, "bad": math.nan}, "tag": {"t": "x"}}


def test_only_what_differs_is_told():
    assert differences([ONE, TWO]) == [
        Difference(section="param", name="lr", values=(0.1, 0.2)),
        Difference(section="tag", name="t", values=(None, "x")),
        Difference(section="metric", name="loss", values=(0.5, 0.4), change=pytest.approx(-0.2)),
    ]


def test_all_is_told_when_asked_for():
    rows = differences([ONE, TWO], all_rows=True)
    assert [(row.name, row.same) for row in rows] == [
        ("lr", False), ("seed", True), ("t", False), ("bad", True), ("loss", False),
    ]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ("1", 1), (None, 0), (None, None)])
def test_what_only_looks_the_same_differs(one, other):
    assert not Difference(section="param", name="p", values=(one, other)).same


@pytest.mark.parametrize(
    ("first", "last", "change"),
    [(2.0, 1.0, -0.5), (-2.0, -1.0, 0.5), (0.0, 1.0, None), (1.0, math.inf, None), (None, 1, None)],
)
def test_a_change_is_relative_to_the_first_run(first, last, change):
    (row,) = differences([{"metric": {"m": first}}, {"metric": {"m": last}}])
    assert row.change == change


def test_three_runs_are_compared_at_once():
    runs = [{"param": {"p": value}} for value in (1, 1, 2)]
    assert differences(runs)[0].values == (1, 1, 2)
