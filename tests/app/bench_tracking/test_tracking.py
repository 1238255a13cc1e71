"""The controller's side: which figures, which trackers, what is refused before a load."""

import psutil
import pytest

from steelyard.app.bench_tracking.messages import Mirrored
from steelyard.app.bench_tracking.options import backends_of, check_track
from steelyard.app.bench_tracking.tracking import Tracked, live_values, tracking_of
from steelyard.cli.tracked_page import tracked_lines
from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import TrackPlan
from steelyard.kernel.errors import ConfigError, FileError, PluginError, UsageError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.journals import fake_plan

STATS = PhaseStats(phase="profiling", phase_index=0, sent=7, completed=5, failed=1, in_flight=1)


def test_live_figures_are_those_of_the_progress_line():
    live = {"request_rate": 2.5, "ttft_p50_ms": None, "errors": {"timeout": 1}, "notes": ["x"]}
    assert live_values(STATS, live) == {
        "sent": 7, "completed": 5, "failed": 1, "cancelled": 0, "in_flight": 1, "sessions": 0,
        "lost": 0, "request_rate": 2.5, "errors/timeout": 1,
    }  # fmt: skip


def test_the_store_itself_needs_no_mirror():
    track = TrackPlan(backends=("local", "jsonl"), options={"jsonl": {"directory": "x"}})
    assert backends_of(track) == {"jsonl": {"directory": "x"}}
    other = TrackPlan(backends=("local",), options={"local": {"directory": "y"}})
    assert backends_of(other) == {"local": {"directory": "y"}}


@pytest.fixture(scope="module")
def host():
    return PluginHost.standard()


@pytest.mark.parametrize(
    ("track", "error", "says"),
    [
        (TrackPlan(backends=("jsnl",)), PluginError, "jsnl"),
        (TrackPlan(backends=("jsonl",), options={"jsonl": {"no": 1}}), ConfigError, "no"),
        (TrackPlan(backends=("jsonl",), options={"jsonl": {"token": "t"}}), UsageError, "secret"),
        (
            TrackPlan(backends=("jsonl",), options={"jsonl": {"directory": "${NO}"}}),
            UsageError,
            "NO",
        ),
        (TrackPlan(backends=("jsonl",), routing=({"x": 1},)), UsageError, "routing rule"),
    ],
)
def test_a_plan_made_in_python_is_checked_as_well(host, track, error, says):
    with pytest.raises(error, match=says):
        check_track(track, host, {})


def test_a_right_plan_is_let_through(host):
    track = TrackPlan(backends=("jsonl",), options={"jsonl": {"directory": "${A}"}})
    check_track(track, host, {"A": "b"})


def test_what_is_said_at_the_end_names_the_run_the_counts_and_the_way_on():
    mirrors = {
        "jsonl": Mirrored(delivered=1234, dropped=0, closed=True),
        "wandb": Mirrored(delivered=10, dropped=2, closed=False, error="no connection"),
    }
    tracked = Tracked("run-1", "/store", 20, 3, 1, mirrors, ("a file is gone",))
    assert tracked_lines(tracked) == [
        "Tracked as run-1 in /store",
        "  jsonl: 1,234 delivered",
        "  wandb: 10 delivered, 2 refused, not done: no connection",
        "The rest goes on by itself, or by: steelyard track sync run-1",
        "Of 20 live figures 3 were lost in a full queue",
        "Of 20 live figures 1 were lost in a dead process",
        "error: not tracked: a file is gone",
    ]


def test_where_the_note_can_not_be_written_no_process_is_started(host, tmp_path):
    """Nobody would end it: the block in which the run is tracked does not begin."""
    plan = fake_plan(tmp_path / "run")
    (tmp_path / "run" / "tracked.json").mkdir(parents=True)
    before = {child.pid for child in psutil.Process().children()}
    track = TrackPlan(backends=("local",), directory=str(tmp_path / "store"))
    with pytest.raises(FileError, match=r"tracked\.json"), tracking_of(plan, track, host, {}):
        pytest.fail("it is not to begin")
    assert {child.pid for child in psutil.Process().children()} <= before
