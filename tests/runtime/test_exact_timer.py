"""Deadlines that are waited for awake."""

import asyncio
import itertools
import socket
import time

import pytest

from steelyard.runtime import exact_timer
from steelyard.runtime.exact_timer import LEAD_MAX_NS, POLL_SHARE, ExactTimer

MS = 1_000_000


async def test_a_deadline_fires_once_and_never_early() -> None:
    """At or after its time; a second wait brings nothing."""
    fired: list[int] = []
    timer = ExactTimer(asyncio.get_running_loop(), lambda: fired.append(time.monotonic_ns()))
    for _ in range(20):
        due_ns = time.monotonic_ns() + 2 * MS
        timer.arm(due_ns)
        while not fired:
            await asyncio.sleep(0.001)
        assert fired.pop() >= due_ns
    await asyncio.sleep(0.01)
    timer.close()
    assert not fired


async def test_a_past_deadline_fires_at_once() -> None:
    """What is overdue is not lost."""
    fired = asyncio.Event()
    timer = ExactTimer(asyncio.get_running_loop(), fired.set)
    timer.arm(1)
    await asyncio.wait_for(fired.wait(), 60)
    timer.close()


async def test_the_last_deadline_counts_whether_it_waits_asleep_or_awake() -> None:
    """Replaced by a later one, by an earlier one, and forgotten."""
    fired: list[int] = []
    timer = ExactTimer(asyncio.get_running_loop(), lambda: fired.append(time.monotonic_ns()))
    for first_ns in (10 * MS, LEAD_MAX_NS // 10):
        far_ns = time.monotonic_ns() + 3600 * 1000 * MS
        timer.arm(time.monotonic_ns() + first_ns)
        timer.arm(far_ns)
        await asyncio.sleep(0.03)
        assert fired == []
        timer.arm(time.monotonic_ns() + first_ns)
        timer.disarm()
        await asyncio.sleep(0.03)
        assert fired == []
        timer.arm(far_ns)
        due_ns = time.monotonic_ns() + first_ns
        timer.arm(due_ns)
        async with asyncio.timeout(60):
            while not fired:
                await asyncio.sleep(0.001)
        assert fired.pop() >= due_ns
    timer.close()


async def test_a_callback_may_arm_the_next() -> None:
    """As a schedule does, whose next deadline may be over already."""
    loop, fired = asyncio.get_running_loop(), []
    dues = [time.monotonic_ns() + offset * 1000 for offset in (500, 520, 530, 3000, 3010)]

    def fire() -> None:
        fired.append(time.monotonic_ns())
        if len(fired) < len(dues):
            timer.arm(dues[len(fired)])

    timer = ExactTimer(loop, fire)
    timer.arm(dues[0])
    async with asyncio.timeout(60):
        while len(fired) < len(dues):
            await asyncio.sleep(0.001)
    timer.close()
    assert all(at >= due for at, due in zip(fired, dues, strict=True))


async def test_sockets_are_read_while_it_waits_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Being exact with sends costs no stamp of an answer.

    By a clock that goes on only when it is looked at: no pause of the machine is a deadline.
    """
    looks = itertools.count(step=MS)
    monkeypatch.setattr(exact_timer, "_now", lambda: next(looks))
    for name in ("_LEAD_FIRST_NS", "LEAD_MAX_NS", "_IDLE_ROUND_NS"):
        monkeypatch.setattr(exact_timer, name, 1000 * MS)
    monkeypatch.setattr(exact_timer, "_CREDIT_MAX_NS", 2000 * MS)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    seen: list[str] = []
    loop.add_reader(ours, lambda: seen.append(ours.recv(9).decode()))
    timer = ExactTimer(loop, lambda: seen.append("due"))
    timer.arm(300 * MS)
    theirs.send(b"answer")
    async with asyncio.timeout(60):
        while "due" not in seen:
            await asyncio.sleep(0)
    loop.remove_reader(ours)
    timer.close()
    ours.close()
    theirs.close()
    assert seen == ["answer", "due"]
    assert timer.polled_ns > 100 * MS


async def test_waiting_awake_takes_no_more_than_its_share() -> None:
    """Deadlines closer together than a lead would keep it awake for good."""
    loop, began_ns, left = asyncio.get_running_loop(), time.monotonic_ns(), [1500]
    done = asyncio.Event()

    def fire() -> None:
        left[0] -= 1
        if left[0]:
            timer.arm(time.monotonic_ns() + 150_000)
        else:
            done.set()

    timer = ExactTimer(loop, fire)
    timer.arm(began_ns + 150_000)
    await asyncio.wait_for(done.wait(), 60)
    took_ns = time.monotonic_ns() - began_ns
    timer.close()
    assert timer.polled_ns <= POLL_SHARE * took_ns + 21 * MS
