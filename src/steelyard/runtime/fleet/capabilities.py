"""What this machine has for tasks, detected: nothing is believed that is not there."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from steelyard.domain.fleet.gpus import Device
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.runtime.fleet import machine_gpus, machine_programs, machine_room

_MICRO = 1_000_000


class Detected(msgspec.Struct, frozen=True):
    """A machine's capabilities, and how its GPUs are shown to a program, in their order."""

    capabilities: Capabilities
    devices: tuple[Device, ...]


def detect(
    directory: str,
    *,
    labels: Mapping[str, str] | None = None,
    programs: bool = True,
    root: Path = Path("/"),
) -> Detected:
    """Return what this machine has; takes some seconds where many programs are there.

    Versions are labels, such as `node.version`; a runtime is there with its name and with its name
    and version as far as people name it: `node`, `node-20`, `python-3.11`.

    Args:
        directory: where attempts will work.
        labels: further ones; they win over those that are detected.
        programs: look for runtimes and browsers.
        root: of the files that the kernel shows.
    """
    gpus = machine_gpus.find(root)
    found = {
        "os": platform.system().lower(),
        "arch": platform.machine(),
        "host": platform.node(),
        **gpus.labels,
    }
    runtimes: list[str] = []
    browsers: list[str] = []
    if programs:
        there = machine_programs.find({**machine_programs.RUNTIMES, **machine_programs.BROWSERS})
        there["python"] = machine_programs.own_python()
        for name, program in there.items():
            found[f"{name}.version"] = program.version
            if name in machine_programs.BROWSERS:
                browsers.append(name)
            else:
                runtimes += [name, f"{name}-{short_version(name, program.version)}"]
        for name, build in machine_programs.playwright_browsers().items():
            found[f"playwright.{name}"] = build
            browsers += [name] if name not in browsers else []
    capabilities = Capabilities(
        hardware_type="gpu" if gpus.devices else "cpu",
        cpu_cores=machine_room.cpu_cores(root),
        memory_gb=machine_room.memory_gb(root),
        disk_gb=machine_room.disk_gb(directory),
        gpus=tuple(device.gpu for device in gpus.devices),
        accelerators=tuple(gpus.accelerators),
        runtimes=tuple(runtimes),
        browsers=tuple(browsers),
        labels=found | dict(labels or {}),
        power_w=gpus.power_w + cpu_power_w(root),
    )
    return Detected(capabilities, tuple(gpus.devices))


def short_version(name: str, version: str) -> str:
    """Return as much of a version as people name: 3.11 of Python, 20 of Node.js."""
    parts = version.split(".")
    return ".".join(parts[: 2 if name in {"python", "go"} else 1])


def cpu_power_w(root: Path = Path("/")) -> float:
    """Return what the processors may draw for long, by RAPL's limits; 0 where nobody tells."""
    zones = (root / "sys/class/powercap").glob("intel-rapl:[0-9]*")
    return sum(_limit_w(zone) for zone in zones if zone.name.count(":") == 1)


def _limit_w(zone: Path) -> float:
    try:
        text = (zone / "constraint_0_power_limit_uw").read_text().strip()
    except OSError:
        return 0.0
    return int(text) / _MICRO if text.isdigit() else 0.0


def usable_directory(directory: str) -> str:
    """Return a directory's absolute path."""
    return os.path.realpath(Path(directory).expanduser())
