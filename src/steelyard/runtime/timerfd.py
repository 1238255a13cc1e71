"""Absolute deadlines on timerfd, and notice of a stepped wall clock.

Python 3.11 has no `os.timerfd_create`, so libc is called; libuv's own timers count milliseconds,
which is coarser than the lag we report. Source: Linux man-pages, timerfd_create(2).
"""

import asyncio
import ctypes
import os
from collections.abc import Callable

from steelyard.kernel.units import NS_PER_S

_CLOCK_REALTIME = 0
_CLOCK_MONOTONIC = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR_FUTURE_S = 1 << 40

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class DeadlineTimer:
    """Calls back once at an absolute CLOCK_MONOTONIC time, as exactly as the kernel wakes us."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._fd = _checked(_libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS))
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._armed_ns = 0
        loop.add_reader(self._fd, self._fire)

    def arm(self, at_ns: int) -> None:
        """Set the deadline, replacing the one before; a past one fires at once."""
        if at_ns == self._armed_ns:
            return
        self._armed_ns = at_ns
        value = self._spec.it_value
        value.tv_sec, value.tv_nsec = divmod(max(at_ns, 1), NS_PER_S)
        _checked(_libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, self._pointer, None))

    def disarm(self) -> None:
        """Forget the deadline."""
        self._armed_ns = 0
        value = self._spec.it_value
        value.tv_sec = value.tv_nsec = 0
        _checked(_libc.timerfd_settime(self._fd, 0, self._pointer, None))

    def close(self) -> None:
        """Release the timer; it never fires again."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # disarmed or set anew between the wake-up and here
        self._armed_ns = 0
        self._callback()


class ClockStepWatch:
    """Calls back when the wall clock is set (not when NTP slews it)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._fd = _checked(_libc.timerfd_create(_CLOCK_REALTIME, _TFD_FLAGS))
        self._arm()
        loop.add_reader(self._fd, self._fire)

    def _arm(self) -> None:
        spec = _Itimerspec()
        spec.it_value.tv_sec = _FAR_FUTURE_S
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        _checked(_libc.timerfd_settime(self._fd, flags, ctypes.byref(spec), None))

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError:  # ECANCELED is how the kernel says that the clock was set
            self._arm()
            self._callback()

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
