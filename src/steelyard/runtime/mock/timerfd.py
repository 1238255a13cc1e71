"""A monotonic timer that a poller can wait for; Python 3.11 has none of its own (timerfd(2))."""

import ctypes
import os
import time

from steelyard.kernel.units import NS_PER_S

_ABSOLUTE = 1


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """A file descriptor that becomes readable at a CLOCK_MONOTONIC time, to the microsecond."""

    def __init__(self) -> None:
        """Create it, disarmed.

        Raises:
            OSError: the system has no timerfd.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(
            ctypes.c_int(time.CLOCK_MONOTONIC), ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC)
        )
        if self.fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._settime = libc.timerfd_settime
        self._settime.argtypes = (
            ctypes.c_int,
            ctypes.c_int,
            ctypes.POINTER(_Spec),
            ctypes.c_void_p,
        )
        self._spec = _Spec()
        self._pointer = ctypes.pointer(self._spec)

    def arm(self, due_ns: int) -> None:
        """Become readable at `due_ns`, at once if it has passed; 0 disarms.

        Arming also clears the count of past expirations, so the descriptor needs no read.
        """
        spec = self._spec
        spec.value_s, spec.value_ns = divmod(due_ns, NS_PER_S)
        self._settime(self.fd, _ABSOLUTE, self._pointer, None)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
