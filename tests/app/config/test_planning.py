"""From a configuration to a plan: what follows from what was asked for."""

import pytest

from steelyard.kernel.errors import ConfigError


def test_a_slice_duration_asks_for_the_files_of_the_slices(plan_of):
    asked = plan_of(model=["m"], concurrency=2, slice_duration=1.5)
    assert asked.slice_s == 1.5
    assert asked.exporters[-1] == "timeslices"
    assert "timeslices" not in plan_of(model=["m"], concurrency=2).exporters


def test_an_exporter_that_was_named_writes_once(plan_of):
    named = plan_of(
        model=["m"], concurrency=2, slice_duration=1.5, exporters=["timeslices", "json"]
    )
    assert named.exporters == ("timeslices", "json")


def test_slices_beyond_number_are_refused_before_any_load(plan_of):
    """A minute in milliseconds: 60,000 slices. Where a count may end it sooner, nobody knows."""
    asked = {"model": ["m"], "concurrency": 2, "slice_duration": 0.001}
    with pytest.raises(ConfigError, match=r"60000 slices of 60 s, and a report has at most 10000"):
        plan_of(**asked, benchmark_duration=60)
    assert plan_of(**asked, benchmark_duration=60, request_count=100).slice_s == 0.001
    assert plan_of(**asked, benchmark_duration=10).slice_s == 0.001
