"""Which GPUs of a worker an attempt gets, and how a machine is shared by several workers."""

from collections.abc import Collection

import msgspec

from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements, fits


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU that a program can be shown.

    Attributes:
        name: what the variable calls it: a UUID or an index.
        variable: such as `CUDA_VISIBLE_DEVICES`.
    """

    gpu: Gpu
    name: str
    variable: str


def choose(
    needs: Requirements, devices: Collection[Device], taken: Collection[str]
) -> tuple[Device, ...] | None:
    """Return free GPUs for an attempt, the smallest that fit; None when there are too few."""
    free = [d for d in devices if d.name not in taken and fits(needs, d.gpu)]
    free.sort(key=lambda device: device.gpu.memory_gb)
    return tuple(free[: needs.gpus]) if len(free) >= needs.gpus else None


def variables(chosen: Collection[Device], devices: Collection[Device]) -> dict[str, str]:
    """Return the variables that show a program its GPUs and hide the others."""
    shown: dict[str, list[str]] = {device.variable: [] for device in devices}
    for device in chosen:
        shown[device.variable].append(device.name)
    return {name: ",".join(names) for name, names in shown.items()}


def share(has: Capabilities, place: int, count: int) -> Capabilities:
    """Return what the worker at `place` of `count` on one machine has of it."""
    return msgspec.structs.replace(
        has,
        cpu_cores=has.cpu_cores / count,
        memory_gb=has.memory_gb / count,
        disk_gb=has.disk_gb / count,
        gpus=has.gpus[place::count],
        power_w=has.power_w / count,
    )
