"""A collector's thread: it asks in time, bounds what fails, and ends when it is told to."""

import logging
import threading
import time

import pytest

from steelyard.domain.track.ports import Noted
from steelyard.kernel.errors import FileError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.sampler import Sampler


class Kept:
    """A sink that remembers, and may fail."""

    def __init__(self, error=None):
        self.samples, self.facts, self.remarks = [], [], []
        self.error = error

    def sample(self, label, values):
        if self.error:
            raise self.error
        self.samples.append(values)

    def noted(self, label, facts):
        self.facts.append(facts)

    def remark(self, label, text):
        self.remarks.append(text)


class Scripted:
    """A clock that stands still but for what is waited and worked on it; stops at a time.

    It stands in for the clock and for the event that a sampler waits for, so that how often a
    collector is asked is a question of the sampler and of no machine.
    """

    def __init__(self, until_s):
        self.now_ns, self._until_ns = 0, round(until_s * 1e9)

    def mono_ns(self):
        return self.now_ns

    wall_ns = mono_ns

    def wait(self, seconds):
        self.work(seconds)
        return self.now_ns >= self._until_ns

    def work(self, seconds):
        self.now_ns = self.now_ns + round(seconds * 1e9)


class Counts:
    """Says how often it was asked."""

    period_s = 0.1
    clock = None
    """The one by which it is driven."""

    def __init__(self):
        self.calls = []

    def start(self):
        self.calls.append("start")

    def facts(self):
        self.calls.append("facts")
        return Noted({"a": 1})

    def collect(self):
        self.calls.append("collect")
        return {"count": self.calls.count("collect")}

    def stop(self):
        self.calls.append("stop")


def driven(collector, sink, seconds, **options):
    """Drive a collector for so long, by a clock of its own; return its sampler, which has ended."""
    collector.clock = Scripted(seconds)
    sampler = Sampler("mine", lambda: collector, sink, collector.clock, **options)
    sampler._stopping = collector.clock
    sampler.run()
    return sampler


def test_calls_come_in_order_and_from_one_thread():
    collector, sink = Counts(), Kept()
    sampler = Sampler("mine", lambda: collector, sink, SystemClock())
    sampler.start()
    deadline = time.monotonic() + 60
    while len(sink.samples) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    sampler.stop()
    assert sampler.join(60)
    assert collector.calls[:2] == ["start", "facts"]
    assert collector.calls[-1] == "stop"
    assert set(collector.calls[2:-1]) == {"collect"}
    assert sink.facts == [Noted({"a": 1})]
    assert sink.samples[0] == {"mine/count": 1.0}


def test_ten_times_a_second_means_that():
    """Twenty beats in two seconds, though each answer takes a quarter of its period.

    One takes three and a half: the beats that it covers are missed and counted, and the others stay
    where they are.
    """
    asked_ms = []

    class Slow(Counts):
        def collect(self):
            asked_ms.append(self.clock.now_ns // 1_000_000)
            self.clock.work(0.35 if len(asked_ms) == 5 else 0.025)
            return super().collect()

    sink = Kept()
    sampler = driven(Slow(), sink, 2.08)
    assert asked_ms == [*range(100, 600, 100), *range(900, 2100, 100)]
    assert (len(sink.samples), sampler._missed) == (17, 3)


def test_the_period_of_the_run_comes_before_the_collectors_own():
    sink = Kept()
    driven(Counts(), sink, 0.45, period_s=0.2)
    assert len(sink.samples) == 2


def test_a_short_run_has_one_sample_all_the_same():
    sink = Kept()
    driven(Counts(), sink, 0.4, period_s=60)
    assert len(sink.samples) == 1


@pytest.mark.parametrize("failing", ["collect", "start", "facts"])
def test_what_keeps_failing_is_given_up_with_one_warning(failing, caplog):
    """The other parts of a collector without facts work on."""

    class Fails(Counts):
        pass

    def fail(self):
        self.calls.append(failing)
        message = "no such sensor"
        raise OSError(message)

    setattr(Fails, failing, fail)
    collector, sink = Fails(), Kept()
    driven(collector, sink, 0.75)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "no such sensor" in warnings[0].getMessage()
    if failing == "facts":
        assert sink.samples
        assert sink.remarks == [f"{len(sink.samples)} samples, 1 failures"]
    else:
        assert collector.calls.count(failing) == (3 if failing == "collect" else 1)
        assert sink.remarks == [
            f"given up: Plugin collector 'mine' failed to {failing}: OSError: no such sensor."
        ]
    assert ("stop" in collector.calls) is (failing != "start")


def test_one_that_works_again_is_kept_and_its_failures_are_told():
    class Flaps(Counts):
        def collect(self):
            found = super().collect()
            if found["count"] % 3 == 1:
                raise ValueError
            return found

    sink = Kept()
    sampler = driven(Flaps(), sink, 0.75)
    assert sink.remarks == ["4 samples, 3 failures"]
    assert sampler.samples == 4


@pytest.mark.parametrize("answer", [None, [1], 3, "text"])
def test_an_answer_without_names_is_a_failure(answer, caplog):
    collector, sink = Counts(), Kept()
    collector.collect = lambda: answer
    driven(collector, sink, 0.5)
    assert "answered no names" in caplog.text
    assert sink.samples == []


def test_a_full_disk_gives_the_collector_up_and_raises_nowhere(caplog):
    sink = Kept(FileError("No space left"))
    driven(Counts(), sink, 0.5)
    assert "given up: No space left" in caplog.text


def test_what_the_machine_lacks_is_told_unless_nobody_asked(caplog):
    class Needs(Counts):
        def validate_environment(self):
            message = "no driver"
            raise OSError(message)

    driven(Needs(), Kept(), 0.05)
    assert "goes on without the collector 'mine'" in caplog.text
    caplog.clear()
    caplog.set_level(logging.INFO)
    collector = Needs()
    driven(collector, Kept(), 0.05, is_optional=True)
    assert caplog.text == ""
    assert collector.calls == []


def test_one_that_hangs_is_not_waited_for():
    begun, release = threading.Event(), threading.Event()
    collector = Counts()
    collector.collect = lambda: begun.set() or release.wait()
    sampler = Sampler("mine", lambda: collector, Kept(), SystemClock())
    sampler.start()
    assert begun.wait(60)
    sampler.stop()
    assert not sampler.join(0.1)
    release.set()
    assert sampler.join(60)


def test_a_period_of_its_own_that_is_none_gives_it_up(caplog):
    collector, sink = Counts(), Kept()
    collector.period_s = 0.0001
    driven(collector, sink, 0.1)
    assert "can't be asked so often" in caplog.text
    assert sink.samples == []
    assert "stop" in collector.calls


def test_missed_beats_and_values_beyond_the_bounds_are_counted():
    class Much(Counts):
        def collect(self):
            self.clock.work(0.25)
            return {str(n): n for n in range(600)}

    sink = Kept()
    driven(Much(), sink, 0.6)
    assert [len(sample) for sample in sink.samples] == [512] * 2
    assert sink.remarks == ["2 samples, 4 beats missed, 176 values beyond the bounds"]


def test_an_odd_object_ends_its_own_thread_only(caplog, recwarn):
    """An answer that raises when it is read, and an attribute that does."""

    class Odd(dict):
        def items(self):
            raise RuntimeError

    class Strange(Counts):
        @property
        def period_s(self):
            raise RuntimeError

    for collector in (Counts(), Strange()):
        collector.collect = lambda: Odd(a=1)
        driven(collector, Kept(), 0.2)
        assert collector.calls[-1] == "stop"
    assert caplog.text.count("given up: Plugin collector 'mine' failed to work") == 2
    assert not recwarn.list
