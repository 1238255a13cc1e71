"""The times of a trace, read from where the dataset manager wrote them."""

from pathlib import Path

import numpy as np
import pytest

from steelyard.builtin.arrival.fixed_schedule import FixedScheduleArrival
from steelyard.domain.bench.plan import PhasePlan
from steelyard.kernel.errors import FileError, PluginError


def arrival(path: Path) -> FixedScheduleArrival:
    plan = PhasePlan(name="profiling", arrival="fixed_schedule", options={"path": str(path)})
    return FixedScheduleArrival(plan, 0, 42)


def test_offsets_come_as_they_were_written_and_stay_at_the_last(tmp_path: Path) -> None:
    """Asked for beyond the end, or only beyond it."""
    np.array([0, 5, 9], "<i8").tofile(tmp_path / "s")
    made = arrival(tmp_path / "s")
    assert made.offsets_ns(0, 2).tolist() == [0, 5]
    assert made.offsets_ns(1, 4).tolist() == [5, 9, 9, 9]
    assert made.offsets_ns(7, 2).tolist() == [9, 9]
    assert made.offsets_ns(2, 0).tolist() == []


def test_the_file_need_not_be_there_before_offsets_are_asked_for(tmp_path: Path) -> None:
    """Workers are configured while the trace is still read; a missing or empty one is said."""
    made = arrival(tmp_path / "s")
    with pytest.raises(FileError, match="Can't read the schedule"):
        made.offsets_ns(0, 1)
    (tmp_path / "s").touch()
    with pytest.raises(FileError, match="is empty"):
        made.offsets_ns(0, 1)


def test_a_phase_that_names_the_arrival_without_a_trace_is_refused() -> None:
    """It can't guess where the times are."""
    with pytest.raises(PluginError, match="has no schedule"):
        FixedScheduleArrival(PhasePlan(name="p", arrival="fixed_schedule"), 0, 42)
