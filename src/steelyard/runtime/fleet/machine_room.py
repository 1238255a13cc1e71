"""How much processor, memory and disk there is for a worker: of the machine, and of its cgroups.

Files are those of cgroups(7), versions 1 and 2; limits of groups further up hold below them too.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_GB = 1_000_000_000
_KIB = 1024
_NO_LIMIT = 1 << 60
"""Version 1 writes the largest number of pages where there is no limit."""


def cpu_cores(root: Path = Path("/")) -> float:
    """Return the cores that this process may use at once: its affinity, and its groups' quota."""
    cores = float(len(os.sched_getaffinity(0)))
    return min([cores, *_quotas(root)])


def _quotas(root: Path) -> Iterator[float]:
    for group in groups(root, "cpu"):
        text = _read(group / "cpu.max")
        quota, _, period = text.partition(" ")
        if not text:
            quota = _read(group / "cpu.cfs_quota_us")
            period = _read(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def memory_gb(root: Path = Path("/")) -> float:
    """Return the memory that this process may use: the machine's, or less by its groups."""
    found = [_total(_read(root / "proc/meminfo"))]
    for group in groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            text = _read(group / name)
            if text.isdigit() and int(text) < _NO_LIMIT:
                found.append(int(text))
    return min((value for value in found if value), default=0) / _GB


def _total(meminfo: str) -> int:
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * _KIB
    return 0


def disk_gb(directory: str) -> float:
    """Return the free space where attempts work."""
    place = Path(directory)
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / _GB


def groups(root: Path, controller: str) -> list[Path]:
    """Return the directories of this process's cgroup with a controller, and of those above it."""
    found: list[Path] = []
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            tops = [base, base / "unified"]
        elif controller in names.split(","):
            tops = [base / names, base / controller]
        else:
            continue
        # In a container the path is one of the host: what is not there is left out, the top stays.
        for top in dict.fromkeys(tops):
            place = top / path.strip("/")
            steps = [place, *(p for p in place.parents if p == top or top in p.parents)]
            found += [step for step in steps if step.is_dir()]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
