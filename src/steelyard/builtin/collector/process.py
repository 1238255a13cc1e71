"""What the script's own processes use: it, and all that it started.

Looking for children and asking for PSS take long on some machines (many processes, large
memories), so both are done so rarely that they stay below a share of the time.
"""

import os
import time
from typing import Any

import psutil

from steelyard.domain.track.rates import Rarely, Rates

TREE_SHARE = 0.002
PSS_SHARE = 0.001
PSS_S = 30.0
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


class ProcessCollector:
    """Sums over the process tree; 100 % is one processor that is busy all the time.

    `rss_bytes` counts shared pages once for each process; `pss_bytes`, told rarely, counts them
    once. CPU time of a child that has ended is its parent's.

    Args:
        children: count them too.
        pss: tell PSS, where the system knows it.
        pid: the root of the tree; this process without it.
    """

    period_s = 1.0

    def __init__(self, *, children: bool = True, pss: bool = True, pid: int | None = None) -> None:
        self._children = children
        self._has_pss = pss
        self._root = psutil.Process(pid if pid is not None else os.getpid())
        self._tree: list[psutil.Process] = [self._root]
        self._tree_due = Rarely(TREE_SHARE)
        self._pss_due = Rarely(PSS_SHARE, PSS_S)
        self._cpu: Rates[str] = Rates()
        self._io: Rates[tuple[int, str]] = Rates()

    def start(self) -> None:
        """Take the values from which rates are counted."""
        self._sums()

    def collect(self) -> dict[str, Any]:
        """Return what the tree uses."""
        found = self._sums()
        begun = time.monotonic_ns()
        if self._has_pss and self._pss_due.is_due(begun):
            pss = [value for value in map(_pss_of, self._tree) if value is not None]
            self._pss_due.done(begun, time.monotonic_ns())
            if pss:
                found["pss_bytes"] = sum(pss)
        return found

    def _sums(self) -> dict[str, Any]:
        self._look_for_children()
        cpu_s = rss = threads = fds = 0.0
        io: dict[tuple[int, str], float] = {}
        alive: list[psutil.Process] = []
        for process in self._tree:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory = process.memory_info().rss
                    count = process.num_threads()
                fds += process.num_fds() if hasattr(process, "num_fds") else 0
                io.update(_io_of(process))
            except _GONE:
                continue
            cpu_s += times.user + times.system + times.children_user + times.children_system
            rss += memory
            threads += count
            alive.append(process)
        self._tree = alive or [self._root]
        now_ns = time.monotonic_ns()
        rates = self._io.per_s(io, now_ns)
        return {
            **{f"{k}_percent": v * 100 for k, v in self._cpu.per_s({"cpu": cpu_s}, now_ns).items()},
            "cpu_s": cpu_s,
            "rss_bytes": rss,
            "threads": threads,
            "fds": fds,
            "processes": len(alive),
            "read_bytes_per_s": sum(v for (_, name), v in rates.items() if name == "read"),
            "write_bytes_per_s": sum(v for (_, name), v in rates.items() if name == "write"),
        }

    def _look_for_children(self) -> None:
        begun = time.monotonic_ns()
        if not self._children or not self._tree_due.is_due(begun):
            return
        try:
            self._tree = [self._root, *self._root.children(recursive=True)]
        except _GONE:
            self._tree = [self._root]
        self._tree_due.done(begun, time.monotonic_ns())


def _io_of(process: psutil.Process) -> dict[tuple[int, str], float]:
    """Return bytes read and written, those of caches too; nothing where that can't be seen."""
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, AttributeError):
        return {}
    read = getattr(counters, "read_chars", counters.read_bytes)
    written = getattr(counters, "write_chars", counters.write_bytes)
    return {(process.pid, "read"): read, (process.pid, "write"): written}


def _pss_of(process: psutil.Process) -> int | None:
    try:
        return getattr(process.memory_full_info(), "pss", None)
    except _GONE:
        return None
