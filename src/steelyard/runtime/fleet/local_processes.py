"""Processes and what the kernel does for them: limits, orphans, and an end that leaves none."""

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from steelyard.kernel.errors import SteelyardError

MARK = "STEELYARD_FLEET_MARK"
"""The variable by which an attempt's processes are found when all who knew them are dead."""

END_WITHIN_S = 5.0
"""How long processes that were killed are waited for; one in a driver's call can't die before."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_STEP_S = 0.002
_OOM_FIRST = "500"
_PROC = Path("/proc")
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of each process of an attempt, see setrlimit(2); 0 for none.

    Attributes:
        memory_bytes: of writable private memory (RLIMIT_DATA): what is only reserved is free.
        cpu_s: CPU time.
        files: open files.
        file_bytes: size of a file that is written.
    """

    memory_bytes: int = 0
    cpu_s: int = 0
    files: int = 0
    file_bytes: int = 0


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise SteelyardError(f"The kernel refused prctl({option})", got=reason)


def die_with_thread(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that made it ends."""
    _prctl(_PR_SET_PDEATHSIG, int(number))


def adopt_orphans() -> None:
    """Have processes below this one become its children when their parents end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def apply_limits(limits: ProcessLimits) -> None:
    """Limit this process and those it will make; what is lower already stays. No core dumps."""
    _limit(resource.RLIMIT_CORE, 0)
    for which, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        if value:
            _limit(which, value)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # CPU time: the soft limit is a signal that can be caught, the hard one a second later is not.
    more = which == resource.RLIMIT_CPU and (hard == resource.RLIM_INFINITY or value < hard)
    resource.setrlimit(which, (value, value + more))


def go_first_when_memory_ends() -> None:
    """Have the kernel end this process before its worker when the machine is out of memory."""
    # A container may forbid it: then the kernel's own choice stands.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_FIRST)


def signal_name(number: int) -> str:
    """Return a signal's name; those of real time have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def children() -> list[int]:
    """Return the processes whose parent is this one."""
    try:
        own = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in _processes() if _parent(pid) == os.getpid()]
    return [int(word) for word in own.split()]


def _processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if there still is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_orphans(spared: Collection[int] = ()) -> bool:
    """Kill all children but those spared, and theirs as they are handed to us; True when all died.

    For a process that called `adopt_orphans`.
    """
    deadline_s = time.monotonic() + END_WITHIN_S
    while True:
        left = [pid for pid in children() if pid not in spared]
        if not left:
            return True
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not sum(_reap(pid) for pid in left):
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_STEP_S)


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def marked(text: str, variable: str = MARK) -> list[int]:
    """Return the processes of this user whose variable begins with `text`."""
    wanted = f"{variable}={text}".encode()
    found: list[int] = []
    for pid in _processes():
        try:
            variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or gone
            continue
        if any(variable.startswith(wanted) for variable in variables):
            found.append(pid)
    return found


def end_marked(text: str, variable: str = MARK) -> int:
    """Kill the processes whose variable begins with `text`; return how many there were."""
    ended: set[int] = set()
    deadline_s = time.monotonic() + END_WITHIN_S
    while (left := marked(text, variable)) and time.monotonic() < deadline_s:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended.update(left)
        time.sleep(_STEP_S)
    return len(ended)
