"""Slots of a limit on one worker."""

from steelyard.runtime.slots import UNBOUNDED, Slots


def test_without_a_ramp_all_slots_are_open_from_the_start() -> None:
    """Each is fresh once."""
    slots = Slots(3, None, 100)
    assert (slots.open, slots.fresh, slots.next_ns) == (3, 3, None)
    for left in (2, 1, 0):
        assert slots.fresh_since_ns() == 100
        slots.use()
        assert slots.fresh == left


def test_without_a_limit_there_is_always_room() -> None:
    """No number of sessions reaches it."""
    assert Slots(None, None, 0).open == UNBOUNDED


def test_slots_open_when_their_time_has_come() -> None:
    """A look opens those that are due; the next one's time is known."""
    slots = Slots(3, [0, 10, 30], 100)
    assert (slots.open, slots.next_ns) == (1, 110)
    slots.use()
    slots.look(109)
    assert (slots.open, slots.fresh) == (1, 0)
    slots.look(115)
    assert (slots.open, slots.fresh, slots.next_ns) == (2, 1, 130)
    assert slots.fresh_since_ns() == 110
    slots.look(500)
    assert (slots.open, slots.fresh, slots.next_ns) == (3, 2, None)


def test_slots_taken_over_are_fresh_since_then() -> None:
    """A lost worker's slots were not ours before, whenever they opened."""
    slots = Slots(2, [0, 20], 100)
    slots.look(120)
    slots.use()
    slots.use()
    slots.change(4, [0, 10, 20, 90], 150)
    assert (slots.open, slots.fresh, slots.next_ns) == (3, 1, 190)
    assert slots.fresh_since_ns() == 150
    slots.use()
    slots.look(190)
    assert slots.fresh_since_ns() == 190


def test_a_share_may_shrink() -> None:
    """What was used more often than there are slots is not counted against new ones."""
    slots = Slots(3, None, 0)
    for _ in range(3):
        slots.use()
    slots.change(1, None, 5)
    assert (slots.open, slots.fresh) == (1, 0)
    slots.change(4, None, 9)
    assert (slots.open, slots.fresh, slots.fresh_since_ns()) == (4, 1, 9)
