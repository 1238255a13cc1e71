"""Deadlines on timerfd."""

import asyncio
import time

from steelyard.runtime.timerfd import ClockStepWatch, DeadlineTimer

MS = 1_000_000


async def test_a_deadline_fires_once_and_never_early() -> None:
    """At or after its time; a second wait brings nothing."""
    fired: list[int] = []
    timer = DeadlineTimer(asyncio.get_running_loop(), lambda: fired.append(time.monotonic_ns()))
    due_ns = time.monotonic_ns() + 20 * MS
    timer.arm(due_ns)
    await asyncio.sleep(0.06)
    timer.close()
    assert len(fired) == 1
    assert fired[0] >= due_ns


async def test_a_past_deadline_fires_at_once() -> None:
    """What is overdue is not lost."""
    fired = asyncio.Event()
    timer = DeadlineTimer(asyncio.get_running_loop(), fired.set)
    timer.arm(1)
    await asyncio.wait_for(fired.wait(), 60)
    timer.close()


async def test_arming_anew_replaces_the_deadline_and_disarming_forgets_it() -> None:
    """Only the last word counts."""
    fired: list[int] = []
    timer = DeadlineTimer(asyncio.get_running_loop(), lambda: fired.append(1))
    timer.arm(time.monotonic_ns() + 10 * MS)
    timer.arm(time.monotonic_ns() + 3600 * 1000 * MS)
    await asyncio.sleep(0.03)
    assert fired == []
    timer.arm(time.monotonic_ns() + 10 * MS)
    timer.disarm()
    await asyncio.sleep(0.03)
    timer.close()
    assert fired == []


async def test_a_clock_that_is_not_set_is_no_step() -> None:
    """Watching it costs nothing and says nothing."""
    steps: list[int] = []
    watch = ClockStepWatch(asyncio.get_running_loop(), lambda: steps.append(1))
    await asyncio.sleep(0.02)
    watch.close()
    assert steps == []
