"""What is known of this host: enough to explain a result, nothing that is secret."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from steelyard import __version__
from steelyard.domain.bench.join_messages import HostIdentity

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")
_CPUINFO = Path("/proc/cpuinfo")
UNKNOWN = "unknown"
FLEET_WORKER = "STEELYARD_FLEET_WORKER"
"""In the environment of what a fleet runs: on which of its workers."""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@cache
def host_id() -> str:
    """Return the host's name and eight hex digits of its hashed machine id.

    The machine id itself stays here: it must not be shown to networks (machine-id(5)).
    """
    name = platform.node() or UNKNOWN
    machine_id = _read(_MACHINE_ID)
    if not machine_id:
        return name
    digest = hashlib.blake2s(machine_id.encode(), digest_size=4, person=b"steelyrd")
    return f"{name}-{digest.hexdigest()}"


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot: monotonic times of two boots can't be compared."""
    return _read(_BOOT_ID) or UNKNOWN


@cache
def clock_id() -> str:
    """Return a name of the CLOCK_MONOTONIC that this process reads, empty when it is not known.

    Processes of one boot share it, unless a time namespace gives some of them one of their own
    (time_namespaces(7)).
    """
    try:
        namespace = Path("/proc/self/ns/time").readlink().name
    except OSError:  # a kernel without time namespaces has one such clock
        namespace = "time"
    return "" if boot_id() == UNKNOWN else f"{boot_id()} {namespace}"


def host_identity() -> HostIdentity:
    """Return who this machine is for the others of a run; a fleet's worker is named first."""
    name, placed = platform.node() or UNKNOWN, os.environ.get(FLEET_WORKER, "")
    if placed not in ("", name):
        name = f"{placed} ({name})"
    return HostIdentity(name=name, host_id=host_id(), clock_id=clock_id())


def _cpu_model() -> str:
    for line in _read(_CPUINFO).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"}:
            return value.strip()
    return platform.machine() or UNKNOWN


def host_facts() -> dict[str, Any]:
    """Return plain data about host, kernel, Python and Steelyard; no environment, no addresses.

    `cpu_usable` is how many CPUs this process may run on; `memory_bytes` is the host's.
    """
    return {
        "host_id": host_id(),
        "boot_id": boot_id(),
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpu_usable": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "steelyard_version": __version__,
    }
