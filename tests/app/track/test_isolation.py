"""Three backends, one of them dead and one slow: the script and the fast one notice nothing."""

import threading
import time

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.syncing import sync
from steelyard.domain.track.events import Metric
from steelyard.domain.track.ports import Delivery

POINTS = 50_000


class Fast:
    """Keeps the steps it is told."""

    name = "fast"

    def __init__(self):
        self.steps = []

    def open(self, run):
        return "fast"

    def log(self, items):
        self.steps.extend(item.step for item in items if isinstance(item, Metric))
        return Delivery(len(items))

    def flush(self):
        """Nothing is held back."""

    def close(self, end):
        """Nothing is open."""


class Slow(Fast):
    name = "slow"

    def log(self, items):
        threading.Event().wait(0.5)
        return super().log(items[:100])


class Dead(Fast):
    name = "dead"

    def log(self, items):
        raise ConnectionError("refused")


class Revived(Fast):
    name = "dead"


@pytest.mark.slow
def test_a_dead_and_a_slow_backend_delay_neither_the_script_nor_the_fast_one():
    """Counts, not times: the script's end leaves the fast one whole, the others known and short."""
    fast, slow, dead = Fast(), Slow(), Dead()
    experiment = Experiment("e", backend=[fast, slow, dead]).start()
    for step in range(POINTS):
        experiment.log_metric("m", 0.5, step)
    places = experiment.mirrors()
    deadline = time.monotonic() + 60  # the slow one takes 250 s for all
    while time.monotonic() < deadline and not (
        len(fast.steps) == POINTS and places["slow"].delivered and places["dead"].last_error
    ):
        time.sleep(0.01)
    experiment.stop(flush_timeout_s=5)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not experiment._mirroring._driven[1].is_done():
        time.sleep(0.05)
    assert fast.steps == list(range(POINTS))
    places = experiment.mirrors()
    assert experiment._mirroring._driven[1].is_done()
    assert (places["fast"].delivered, places["fast"].closed) == (POINTS, True)
    assert 0 < places["slow"].delivered < POINTS
    assert places["slow"].delivered == len(slow.steps)
    assert (places["dead"].delivered, places["dead"].dropped) == (0, 0)
    assert "ConnectionError: refused" in places["dead"].last_error
    assert experiment.snapshot().metrics["m"].count == POINTS

    revived = Revived()
    (synced,) = sync(str(experiment.directory), revived)
    assert (synced.done, revived.steps) == (True, list(range(POINTS)))
    assert synced.place.delivered == POINTS

    slow_again = Fast()
    slow_again.name = "slow"
    (synced,) = sync(str(experiment.directory), slow_again)
    assert synced.done
    assert slow.steps + slow_again.steps == list(range(POINTS))
    assert synced.place.delivered == POINTS
