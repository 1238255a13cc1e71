"""Wall clocks to be set: of some processes, or of this whole machine.

The second is what happens in life, and everything on the machine sees it: cron, TLS, other people's
work, whatever bounds the time of these very tests. So it is done only where a person asks for it.
"""

import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

from steelyard.testing.components import require_component

SOURCE = Path(__file__).with_suffix(".c")
VARIABLE = "STEELYARD_TEST_CLOCK"
"""By how many seconds tests may set the clock of the machine ahead, for a moment; as root only."""

_NS = 1_000_000_000
_RESTORED_S = 30


class Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class SteppedClock:
    """The wall clock of the processes that get `environ`."""

    ahead_s = 7_200.0

    def __init__(self, directory: Path) -> None:
        require_component("a C compiler", executable="cc", install="apt-get install gcc libc6-dev")
        library, self._file = directory / "stepped_clock.so", directory / "offset"
        words = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
        subprocess.run([*words, str(SOURCE)], check=True)
        self._file.write_bytes(struct.pack("q", 0))
        self.environ = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def set_ahead(self) -> None:
        """Set it ahead of the true time."""
        self._put(self.ahead_s)

    def set_right(self) -> None:
        """Set it back."""
        self._put(0.0)

    def _put(self, seconds: float) -> None:
        # In place and at once: processes have the file mapped.
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", int(seconds * _NS)))

    def close(self) -> None:
        """Nothing is to be restored."""


class MachineClock:
    """The wall clock of this machine; skips where it may not be set."""

    environ: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        if not os.environ.get(VARIABLE):
            pytest.skip(f"sets the clock of this machine; {VARIABLE}=7200 allows two hours")
        self.ahead_s = float(os.environ[VARIABLE])
        self._true_ns = time.time_ns() - time.monotonic_ns()
        if not _set(time.time_ns()):
            pytest.skip("the clock can't be set here; run as root with CAP_SYS_TIME")
        # Whatever becomes of this process, another one sets it right.
        self._guard = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(self._true_ns)], stdin=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def set_ahead(self) -> None:
        """Set it ahead of the true time."""
        assert _set(self._true_ns + time.monotonic_ns() + int(self.ahead_s * _NS))

    def set_right(self) -> None:
        """Set it back."""
        assert _set(self._true_ns + time.monotonic_ns())

    def close(self) -> None:
        """Set it right."""
        self.set_right()
        self._guard.communicate(timeout=10)


def _set(wall_ns: int) -> bool:
    now = Timespec(*divmod(wall_ns, _NS))
    return ctypes.CDLL(None).clock_settime(time.CLOCK_REALTIME, ctypes.byref(now)) == 0


def _guard(true_ns: int) -> None:
    """Set the clock right once the standard input ends, or half a minute has gone by."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os.close(0))
    signal.alarm(_RESTORED_S)
    try:
        sys.stdin.buffer.read()
    except OSError:
        sys.stderr.write("the clock is set right now: nobody did it in time\n")
    if abs(time.time_ns() - true_ns - time.monotonic_ns()) > _NS:
        _set(true_ns + time.monotonic_ns())


if __name__ == "__main__":
    _guard(int(sys.argv[1]))
