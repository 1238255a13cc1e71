"""What a mirror reads, in the order of what happened."""

import pytest

from steelyard.domain.track.courier import Courier
from steelyard.domain.track.events import METRICS_TYPE, Metric, MetricsLogged, RunEnded, RunStarted
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime import journal_writer
from steelyard.runtime.journal import JournalWriter
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.feed import Feed
from steelyard.runtime.track.writer import RunWriter

WALL_NS = 1_800_000_000 * NS_PER_S


class BootClock:
    """A host that was booted `up_s` ago."""

    def __init__(self, up_s, wall_s):
        self.mono, self.wall = up_s * NS_PER_S, WALL_NS + wall_s * NS_PER_S

    def mono_ns(self):
        self.mono += 1_000_000
        self.wall += 1_000_000
        return self.mono

    def wall_ns(self):
        return self.wall


def life(store, clock, steps, *, ended):
    writer = RunWriter(store.place("a"), "a", clock, fsync="never")
    writer.write(RunStarted(name="a", project="p"))
    for step in steps:
        writer.write(MetricsLogged(step=step, values={"m": float(step)}))
    if ended:
        writer.write(RunEnded(status="finished"))
    return writer


@pytest.fixture
def feed(store):
    return Feed(store.place("a"), BlobStore(store.blobs))


def steps_of(courier):
    return [item.slot.step for item in courier._queue if isinstance(item.slot, Metric)]


def test_a_run_that_goes_on_after_a_reboot_is_read_in_its_order_and_has_not_ended(
    store, feed, monkeypatch
):
    """CLOCK_MONOTONIC is small again: what came first has the larger times."""
    monkeypatch.setattr(journal_writer, "boot_id", lambda: "first")
    life(store, BootClock(up_s=900_000, wall_s=0), range(5), ended=True).close()
    monkeypatch.setattr(journal_writer, "boot_id", lambda: "second")
    running = life(store, BootClock(up_s=10, wall_s=600), range(5, 10), ended=False)
    courier = Courier()
    feed.fill(courier)
    running.close()
    assert steps_of(courier) == list(range(10))
    assert feed.end is None
    assert [item.seq for item in courier._queue] == sorted(item.seq for item in courier._queue)


def test_streams_of_one_boot_are_read_as_they_took_turns(store, feed):
    clock = BootClock(up_s=10, wall_s=0)
    main = life(store, clock, [0], ended=False)
    child = JournalWriter(store.place("a").journal, "child-1", run_id="a", clock=clock)
    for step in range(1, 7):
        fact = {"step": step, "values": {"m": 1.0}}
        (main._journal if step % 2 else child).event(METRICS_TYPE, fact)
    courier = Courier()
    feed.fill(courier)
    main.close()
    child.close()
    assert steps_of(courier) == list(range(7))
