"""The limit of pacing: a loop that waits on a timerfd for absolute deadlines and does nothing else.

    python benchmarks/timer_loop.py --rate 200 --seconds 5
    python benchmarks/timer_loop.py --times FILE

It prints, as JSON, by how many nanoseconds each wake-up was late. A file of times is a JSON list of
nanoseconds since the first.
"""

import argparse
import ctypes
import json
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = 0o4000
_TFD_TIMER_ABSTIME = 1
_LEAD_NS = 50_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


def wait_all(offsets_ns: Sequence[int]) -> list[int]:
    """Return the lateness of each wake-up in ns."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
    poller = select.epoll()
    poller.register(fd, select.EPOLLIN)
    start_ns = time.monotonic_ns() + _LEAD_NS
    late_ns = []
    for offset_ns in offsets_ns:
        due_ns = start_ns + offset_ns
        spec = _Itimerspec(it_value=_Timespec(due_ns // 10**9, due_ns % 10**9))
        libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)
        poller.poll()
        late_ns.append(time.monotonic_ns() - due_ns)
        os.read(fd, 8)
    return late_ns


def main() -> None:
    """Read the flags, wait, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--times", type=Path)
    arguments = parser.parse_args()
    if arguments.times is None:
        count = round(arguments.rate * arguments.seconds)
        offsets_ns = [round(index * 1e9 / arguments.rate) for index in range(count)]
    else:
        offsets_ns = json.loads(arguments.times.read_bytes())
    print(json.dumps(wait_all(offsets_ns)))


if __name__ == "__main__":
    main()
