"""Time is an argument: what a clock must offer."""

from typing import Protocol


class Clock(Protocol):
    """A source of time. `runtime` has the system's; `testing` has a virtual one."""

    def mono_ns(self) -> int:
        """Return nanoseconds on CLOCK_MONOTONIC: for durations and records."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch: for people and other hosts."""
        ...
