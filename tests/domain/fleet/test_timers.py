"""What is due comes when it is due, however often it was put off."""

from steelyard.domain.fleet.timers import STALE_MAX, Timers


def test_what_is_put_off_again_and_again_comes_once():
    """A worker's silence is put off by every word of it: the heap does not grow with those."""
    timers = Timers()
    for at_ns in range(100_000):
        timers.set("silent", f"w{at_ns % 10}", at_ns)
    assert len(timers) <= 2 * 10 + STALE_MAX
    assert timers.take_due(99_989) == []
    assert timers.next_ns() == 99_990
    assert timers.take_due(100_000) == [("silent", f"w{n}") for n in range(10)]
    assert timers.next_ns() is None


def test_what_was_dropped_is_never_due():
    timers = Timers()
    timers.set("lease", "a", 5)
    timers.set("lease", "b", 6)
    timers.drop("lease", "a")
    assert timers.names("lease") == {"b"}
    assert timers.take_due(10) == [("lease", "b")]
