"""A full queue loses its oldest event, counts it, and holds nobody up."""

import os
import queue

import pytest

from steelyard.kernel.errors import UsageError
from steelyard.runtime.fanout import EventPipe, Fanout, buffered_max


@pytest.fixture
def told():
    return []


def test_the_newest_events_survive_and_every_lost_one_is_counted(told):
    events: queue.Queue[int] = queue.Queue(maxsize=3)
    fanout = Fanout(events, told.append)
    assert all(fanout.put(number) for number in range(10))
    assert [events.get_nowait() for _ in range(3)] == [7, 8, 9]
    assert (fanout.sent, fanout.dropped) == (10, 7)


def test_drops_are_told_at_1_100_and_1000(told):
    fanout = Fanout(queue.Queue(maxsize=1), told.append)
    for number in range(1500):
        fanout.put(number)
    assert fanout.dropped == 1499
    assert [text.rpartition("=")[2] for text in told] == ["1)", "100)", "1000)"]
    assert all("oldest" in text for text in told)


class Stuck:
    """Full, with nothing to take: all is under way to somebody who doesn't read."""

    def put_nowait(self, item):
        raise queue.Full

    def get_nowait(self):
        raise queue.Empty


def test_where_no_room_can_be_made_the_newest_is_dropped(told):
    fanout = Fanout(Stuck(), told.append)
    assert not fanout.put("event")
    assert (fanout.sent, fanout.dropped) == (0, 1)
    assert "newest" in told[0]


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            assert True, "a test closed it"


def frames_from(fd):
    os.set_blocking(fd, False)
    data = b""
    while True:
        try:
            data += os.read(fd, 1 << 20)
        except BlockingIOError:
            return data


def test_a_reader_that_stands_still_costs_old_events_and_no_time(pipe, told):
    reads, writes = pipe
    events = EventPipe(writes, maxsize=5)
    fanout = Fanout(events, told.append)
    for number in range(2000):
        fanout.put(b"%07d" % number * 100)
    # Whoever waited for the reader would wait still: nobody reads before here.
    first = frames_from(reads)
    assert events.flush()
    data = first + frames_from(reads)
    seen = [int(data[at : at + 7]) for at in range(0, len(data), 700)]
    assert len(data) == 700 * len(seen)
    assert seen == sorted(set(seen))
    assert seen[-5:] == [1995, 1996, 1997, 1998, 1999]
    assert len(seen) + fanout.dropped == fanout.sent == 2000


def test_a_reader_that_is_gone_is_noticed(pipe, told):
    reads, writes = pipe
    events = EventPipe(writes, maxsize=5)
    Fanout(events, told.append).put(b"a")
    assert events.has_reader()
    os.close(reads)
    assert Fanout(events, told.append).put(b"b")
    assert not events.has_reader()
    assert len(events) == 0


@pytest.mark.parametrize("stated", ["0", "-1", "many", ""])
def test_a_bound_that_is_none_is_refused(stated):
    with pytest.raises(UsageError, match="STEELYARD_OTEL_MAX_BUFFERED_RECORDS"):
        buffered_max({"STEELYARD_OTEL_MAX_BUFFERED_RECORDS": stated})


def test_the_bound_is_10000_unless_the_environment_says_otherwise():
    assert buffered_max({}) == 10_000
    assert buffered_max({"STEELYARD_OTEL_MAX_BUFFERED_RECORDS": "7"}) == 7
