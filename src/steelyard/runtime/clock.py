"""The system's clock, and how far its wall time is from its monotonic time."""

import time
from pathlib import Path

import msgspec

from steelyard.kernel.clock import Clock
from steelyard.kernel.units import NS_PER_S

WALL_OFFSET_READS = 15
_SCHEDSTAT = Path("/proc/self/schedstat")


class SystemClock:
    """CLOCK_MONOTONIC and the wall clock of this host."""

    mono_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class WallOffset(msgspec.Struct, frozen=True, kw_only=True):
    """What to add to a monotonic time to get Unix time, and how sure that is.

    Attributes:
        offset_ns: wall time minus monotonic time.
        half_width_ns: the true offset is within this of `offset_ns`.
        mono_ns: when it was measured.
    """

    offset_ns: int
    half_width_ns: int
    mono_ns: int


def sample_wall_offset(clock: Clock, reads: int = WALL_OFFSET_READS) -> WallOffset:
    """Return the tightest of `reads` measurements of wall minus monotonic time.

    Each reads monotonic, wall, monotonic: the wall time was taken somewhere between the other two
    (Cristian's method), so the narrowest pair bounds the offset best and a preempted one loses.

    Raises:
        ValueError: `reads` is below 1.
    """
    if reads < 1:
        message = f"reads must be at least 1, got {reads}"
        raise ValueError(message)
    return min((_read_offset(clock) for _ in range(reads)), key=lambda read: read.half_width_ns)


def _read_offset(clock: Clock) -> WallOffset:
    before, wall, after = clock.mono_ns(), clock.wall_ns(), clock.mono_ns()
    middle = (before + after) // 2
    return WallOffset(
        offset_ns=wall - middle, half_width_ns=(after - before + 1) // 2, mono_ns=middle
    )


def cpu_wait_s() -> float:
    """Return how long this process's main thread was ready to run and had no core, so far.

    0.0 on kernels that don't count it. Source: Linux, Documentation/scheduler/sched-stats.rst,
    /proc/PID/schedstat: time on a CPU, time waiting for one (both ns), number of slices.
    """
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1]) / NS_PER_S
    except OSError:
        return 0.0
