"""Busy or hung: the decision, row by row."""

import pytest

from steelyard.runtime.vitals import Vitals

S = 1_000_000_000
TICK = S // 4


def watch(vitals, state, ticks_per_look, until_s):
    """Look every 0.25 s like the supervisor; return when and why the service was given up."""
    now, ticks = 0, 0
    while now < until_s * S:
        now += TICK
        ticks += ticks_per_look
        if vitals.silent(now) and (reason := vitals.judge(now, state, ticks)):
            return now / S, reason
    return None


@pytest.mark.parametrize(
    ("state", "ticks_per_look", "expected"),
    [
        ("S", 0, (1.75, "no heartbeat for 1.8 s, its process sleeps")),
        ("T", 0, (1.75, "no heartbeat for 1.8 s, its process is stopped")),
        ("t", 25, (1.75, "no heartbeat for 1.8 s, its process is stopped")),
        ("R", 25, None),
        ("R", 0, None),  # it waits for a CPU that others hold
        ("D", 0, None),  # it waits for a disk
        ("S", 1, None),  # its other threads work: 4 ticks of 10 ms in a second
    ],
)
def test_a_silent_process_is_hung_unless_it_works_or_waits_for_the_kernel(
    state, ticks_per_look, expected
):
    assert watch(Vitals(0), state, ticks_per_look, until_s=30) == expected


def test_working_without_a_heartbeat_is_excused_for_a_minute_not_for_ever():
    when, reason = watch(Vitals(0), "R", 25, until_s=100)
    assert 60 < when <= 60.25
    assert reason == "no heartbeat for 60.2 s, though its process is working"


def test_a_message_ends_the_silence():
    vitals = Vitals(0)
    for now in range(TICK, 10 * S, TICK):
        assert not vitals.silent(now)
        vitals.seen(now)


def test_work_long_ago_does_not_excuse_a_process_that_sleeps_now():
    vitals = Vitals(0)
    verdicts = [
        vitals.judge(now, "S", min(now // TICK, 8) * 25) for now in range(TICK, 4 * S, TICK)
    ]
    first = next(index for index, verdict in enumerate(verdicts) if verdict)
    assert (first + 1) * 0.25 == 3.0, "worked until 2.0 s; the window of looks is 1 s"


def test_a_late_watcher_blames_nobody_for_the_time_it_missed():
    vitals = Vitals(0)
    vitals.excuse(20 * S)
    assert vitals.judge(20 * S, "S", 0) is None
    assert vitals.judge(20 * S + S // 2, "S", 0) is None
    assert vitals.judge(21 * S, "S", 0) is not None
