"""Keeps what a process knows from others of the same user, as far as the kernel goes along.

Who runs as the same user can read a process's first environment in `/proc/PID/environ` (which
`os.environ` does not change) and, where the kernel lets it trace others (ptrace(2), Yama), its
memory. Root with CAP_SYS_PTRACE or CAP_PERFMON can always.
"""

import ctypes
import os
from pathlib import Path

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_ENV_START, _ENV_END = 50 - 3, 51 - 3
"""Of proc_pid_stat(5), counted from the field behind the name, which is the third."""


def hide_from_others() -> None:
    """Have nobody of the same user read this process's environment, memory and open files.

    It holds for what it forks too, until that runs another program; there are no core dumps
    either. Of its own parts of `/proc`, this process can no longer read `environ` and `io`, nor
    write any, unless it is root (PR_SET_DUMPABLE(2const)).
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_variable(name: str) -> None:
    """Take a variable out of this process's environment, and out of what `/proc` shows of it."""
    os.environ.pop(name, None)
    try:
        text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no /proc, so nobody sees it there
        return
    fields = text.rpartition(")")[2].split()
    begin, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if not 0 < begin < end:
        return
    place = begin
    # Nothing points there any more: the variable is gone, and others stay where they are.
    for entry in ctypes.string_at(begin, end - begin).split(b"\0"):
        if entry.startswith(f"{name}=".encode()):
            ctypes.memset(place, 0, len(entry))
        place += len(entry) + 1
