"""What the ui is told of a run, and when."""

import asyncio

import msgspec
import pytest

from steelyard.app.live_view import INTERVAL_S, LiveView
from steelyard.domain.bench.live_window import LiveWindow
from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import PhasePlan
from steelyard.runtime.board import Board, Cell, board_path
from steelyard.testing.journals import fake_plan


class Told:
    """A ui that remembers."""

    def __init__(self):
        self.updates = []
        self.closed = False

    def update(self, stats, live):
        self.updates.append((stats, dict(live)))

    def close(self):
        self.closed = True


@pytest.fixture
def view(tmp_path):
    phases = (
        PhasePlan(name="warmup", kind="warmup", concurrency=2, request_count=4),
        PhasePlan(name="profiling", concurrency=2, duration_s=60.0, grace_s=5.0),
    )
    plan = msgspec.structs.replace(fake_plan(str(tmp_path)), phases=phases, workers=2)
    made = LiveView(plan, Told())
    yield made
    made.close()
    assert made._ui.closed
    assert not board_path(tmp_path).exists()


def figures(phase):
    return msgspec.structs.replace(LiveWindow(0).stats(1), phase=phase, errors={"reset": phase + 1})


def test_twice_a_second_is_often_enough():
    assert INTERVAL_S >= 0.5


def test_counts_are_those_of_the_phase_under_way(view, tmp_path):
    """Worker 1 is still in the warm-up: its counts are not the profiling phase's."""
    board = Board(board_path(tmp_path), 2)
    for worker, phase in ((0, 1), (1, 0)):
        row = board.row(worker)
        row[Cell.PHASE], row[Cell.COMPLETED], row[Cell.IN_FLIGHT] = phase, 7, 2
    view.phase(PhaseStats(phase="profiling", phase_index=1, start_ns=1))
    stats, live = view._ui.updates[-1]
    assert (stats.completed, stats.in_flight) == (7, 2)
    assert (live["phases"], live["duration_s"], live["grace_s"]) == (2, 60.0, 5.0)
    board.close()


def test_figures_of_the_phase_before_are_not_shown_as_this_ones(view):
    asyncio.run(view._figures(figures(0)))
    view.phase(PhaseStats(phase="warmup", phase_index=0, start_ns=1))
    assert view._ui.updates[-1][1]["errors"] == {"reset": 1}
    view.phase(PhaseStats(phase="profiling", phase_index=1, start_ns=2))
    assert "errors" not in view._ui.updates[-1][1]
    asyncio.run(view._figures(figures(1)))
    view.show()
    assert view._ui.updates[-1][1]["errors"] == {"reset": 2}


def test_a_run_that_has_not_begun_says_so(view):
    view.show()
    stats, _ = view._ui.updates[-1]
    assert (stats.phase, stats.phase_index) == ("starting", -1)
    assert not view.begun


@pytest.mark.parametrize(("drain", "word"), [(True, "drain"), (False, "cancel")])
def test_stopping_is_said_once_and_stays_known(view, drain, word):
    view.stopping(drain=drain)
    view.show()
    (_, first), (_, second) = view._ui.updates
    assert [len(first["notes"]), len(second["notes"])] == [1, 0]
    assert first["stopping"] == second["stopping"] == word
