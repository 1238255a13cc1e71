"""Slots that answers leave are filled together, at once when many wait, and since when is kept."""

import asyncio
import time

from steelyard.runtime.freed_slots import HELD_MAX, FreedSlots


class Filler:
    """Counts what was asked of it; fills as an engine does."""

    def __init__(self) -> None:
        self.calls = 0
        self.slots = FreedSlots(asyncio.get_running_loop(), self.fill)

    def fill(self) -> None:
        self.slots.filled()
        self.calls += 1


async def test_slots_freed_in_one_turn_are_filled_once_at_its_end():
    filler = Filler()
    for _ in range(HELD_MAX - 1):
        filler.slots.note()
        filler.slots.fill_soon()
    assert filler.calls == 0
    await asyncio.sleep(0)
    assert filler.calls == 1
    await asyncio.sleep(0)
    assert filler.calls == 1, "nothing waited any more"


async def test_many_freed_slots_wait_for_no_end_of_a_turn():
    filler = Filler()
    for _ in range(2 * HELD_MAX):
        filler.slots.fill_soon()
    assert filler.calls == 2


async def test_what_was_filled_otherwise_is_not_filled_again():
    filler = Filler()
    filler.slots.fill_soon()
    filler.fill()
    filler.slots.fill_held()
    await asyncio.sleep(0)
    assert filler.calls == 1


async def test_a_slot_is_free_since_it_was_left_and_slots_go_in_that_order():
    slots = Filler().slots
    before_ns = time.monotonic_ns()
    slots.note()
    between_ns = time.monotonic_ns()
    slots.note()
    now_ns = time.monotonic_ns()
    assert before_ns <= slots.since_ns(now_ns) <= between_ns
    slots.use()
    assert between_ns <= slots.since_ns(now_ns) <= now_ns
    slots.use()
    assert slots.since_ns(now_ns) == now_ns, "a slot that nobody left is new"


async def test_a_new_phase_knows_no_slots_of_the_one_before():
    slots = Filler().slots
    slots.note()
    slots.clear()
    assert slots.since_ns(7) == 7
