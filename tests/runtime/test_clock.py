import itertools
import os
import subprocess
import sys
import time

import pytest

from steelyard.runtime.clock import SystemClock, cpu_wait_s, sample_wall_offset


class ScriptedClock:
    """Returns monotonic times from a list, and a wall clock that is 1000 ahead."""

    def __init__(self, monos: list[int], walls: list[int]) -> None:
        self._monos = iter(monos)
        self._walls = iter(walls)

    def mono_ns(self) -> int:
        return next(self._monos)

    def wall_ns(self) -> int:
        return next(self._walls)


def test_the_tightest_read_wins():
    """Reads 40, 6 and 20 ns wide: the second gives 1013 - 103 = 910 +- 3."""
    clock = ScriptedClock([0, 40, 100, 106, 200, 220], [1500, 1013, 1700])
    offset = sample_wall_offset(clock, reads=3)
    assert (offset.offset_ns, offset.half_width_ns, offset.mono_ns) == (910, 3, 103)


def test_half_of_an_odd_width_is_rounded_up():
    """The wall time was read somewhere in [0, 5]: 2 +- 2 would leave out 5."""
    offset = sample_wall_offset(ScriptedClock([0, 5], [100]), reads=1)
    assert (offset.offset_ns, offset.half_width_ns) == (98, 3)


@pytest.mark.parametrize("reads", [0, -1])
def test_no_reads_is_an_error(reads):
    with pytest.raises(ValueError, match="at least 1"):
        sample_wall_offset(SystemClock(), reads=reads)


def test_the_system_clock_goes_forward_and_its_offset_holds():
    clock = SystemClock()
    times = [clock.mono_ns() for _ in range(100)]
    assert all(a <= b for a, b in itertools.pairwise(times))
    one, two = sample_wall_offset(clock), sample_wall_offset(clock)
    assert abs(one.offset_ns - two.offset_ns) < 50_000_000
    assert one.half_width_ns < 10_000_000


def test_a_thread_that_shares_its_core_with_another_waits_for_it():
    """0.3 s of work beside a hog on the same core take 0.6 s: the rest was spent waiting.

    Another neighbour may take the hog's turns, so more work is done while it was not waited for.
    """
    allowed = os.sched_getaffinity(0)
    core = {min(allowed)}
    os.sched_setaffinity(0, core)
    hog = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: 0"], stdout=subprocess.PIPE
    )
    try:
        hog.stdout.readline()
        before = cpu_wait_s()
        began = time.thread_time()
        waited = 0.0
        while waited <= 0.1 and time.thread_time() - began < 10:
            until = time.thread_time() + 0.3
            while time.thread_time() < until:
                pass
            waited = cpu_wait_s() - before
    finally:
        os.sched_setaffinity(0, allowed)
        hog.kill()
        hog.wait()
        hog.stdout.close()
    assert waited > 0.1
