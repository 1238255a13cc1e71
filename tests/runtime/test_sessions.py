"""Conversations under way."""

from steelyard.domain.bench.conversation import Turn
from steelyard.runtime.sessions import LiveSession, SessionBook

TURNS = (Turn(text="a", system="be brief"), Turn(text="b", delay_ms=50), Turn(text="c"))
MS = 1_000_000


def session(index: int = 0) -> LiveSession:
    return LiveSession(index, 7, TURNS, model=0, url=0)


def test_the_history_grows_by_answer_and_turn() -> None:
    """A turn is sent with everything that was said before it."""
    live = session()
    live.advance("hello", 3, ended_ns=0)
    assert [(turn.role, turn.text) for turn in live.history] == [
        ("user", "a"),
        ("assistant", "hello"),
        ("user", "b"),
    ]
    assert live.history[0].system == "be brief"


def test_a_turn_is_due_its_delay_after_the_answers_end() -> None:
    """Without a delay it is due at once."""
    live = session()
    assert live.advance("x", 1, ended_ns=10 * MS) == 60 * MS
    assert not live.last
    assert live.advance("y", 1, ended_ns=100 * MS) == 100 * MS
    assert live.last


def test_a_replayed_turn_is_due_at_its_own_time() -> None:
    """As far from the conversation's beginning as in the trace, or as soon as it was answered."""
    turns = (
        Turn(text="a", timestamp_ms=500.0),
        Turn(text="b", timestamp_ms=530.5),
        Turn(text="c", timestamp_ms=540.0),
        Turn(text="d", delay_ms=7),
    )
    live = LiveSession(0, 7, turns, model=0, url=0)
    live.replayed_from_ns = 1_000 * MS
    assert live.advance("x", 1, ended_ns=1_010 * MS) == 1_030 * MS + MS // 2
    assert live.advance("y", 1, ended_ns=1_055 * MS) == 1_055 * MS
    assert live.advance("z", 1, ended_ns=1_060 * MS) == 1_067 * MS


def test_times_of_a_trace_that_is_not_replayed_say_nothing() -> None:
    """A closed loop over the same file keeps to the delays."""
    turns = (Turn(text="a", timestamp_ms=0.0), Turn(text="b", timestamp_ms=900.0, delay_ms=2))
    live = LiveSession(0, 7, turns, model=0, url=0)
    assert live.advance("x", 1, ended_ns=10 * MS) == 12 * MS


def test_turns_are_taken_in_the_order_they_are_due() -> None:
    """Only what is due comes out, with the time it was due at."""
    book = SessionBook()
    for index, due_ns in ((1, 30), (2, 10), (3, 20)):
        live = session(index)
        book.begin(live)
        book.wait(live, due_ns)
    assert book.next_due_ns() == 10
    taken = [book.take_due(20), book.take_due(20), book.take_due(20)]
    assert [(t[0].index, t[1]) if t else None for t in taken] == [(2, 10), (3, 20), None]
    assert len(book) == 3


def test_waiting_sessions_can_be_ended_all_at_once() -> None:
    """When a phase stops, what waits for its next turn is over; what is in flight is not."""
    book = SessionBook()
    for index in (1, 2):
        book.begin(session(index))
    book.wait(book.get(1), 10)
    assert book.end_waiting() == [1]
    assert book.next_due_ns() is None
    assert len(book) == 1


def test_turns_behind_one_without_an_answer_are_counted_as_dropped() -> None:
    """Of three turns two are left after the first, one after the second; a good end drops none."""
    book = SessionBook()
    for index in range(3):
        book.begin(session(index))
    book.get(1).advance("x", 1, ended_ns=0)
    book.end(0, broken=True)
    book.end(1, broken=True)
    book.end(2)
    assert book.dropped_turns == 3
