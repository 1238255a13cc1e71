"""The GPUs and other accelerators of a machine, found without the frameworks that use them."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.gpus import Device
from steelyard.domain.fleet.requirements import Gpu

_GB = 1_000_000_000
_MI_PER_W = 1000
_AMD = "0x1002"
_CUDA, _ROCM = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"


class Found(msgspec.Struct, kw_only=True):
    """What there is.

    Attributes:
        power_w: what all GPUs may draw.
        labels: versions.
    """

    devices: list[Device] = []
    accelerators: list[str] = []
    labels: dict[str, str] = {}
    power_w: float = 0.0


def find(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Found:
    """Return the accelerators of this machine; GPUs that the environment hides are left out."""
    found = Found()
    _nvidia(found, environ)
    _amd(found, root, environ)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.accelerators.append("mps")
    version = _distribution("openvino")
    if version:
        found.accelerators.append("openvino")
        found.labels["openvino.version"] = version
    return found


def shown(wanted: str | None, names: list[tuple[str, ...]]) -> list[int]:
    """Return which GPUs a variable such as `CUDA_VISIBLE_DEVICES` shows, in the GPUs' order.

    Args:
        wanted: its value, None where it is not set; what follows a wrong entry is hidden, as the
            CUDA programming guide has it.
        names: of each GPU: its index, and UUIDs that may be shortened.
    """
    if wanted is None:
        return list(range(len(names)))
    found: set[int] = set()
    for word in (part.strip() for part in wanted.split(",")):
        fits = [
            place
            for place, (index, *uuids) in enumerate(names)
            if word == index or (word and not word.isdigit() and _any_begins(uuids, word))
        ]
        if len(fits) != 1:
            break
        found.add(fits[0])
    return sorted(found)


def _any_begins(texts: list[str], word: str) -> bool:
    return any(text.startswith(word) for text in texts)


def _nvidia(found: Found, environ: Mapping[str, str]) -> None:
    if importlib.util.find_spec("pynvml") is None:
        if _loads("libcuda.so.1"):
            found.accelerators.append("cuda")  # of which the driver's library says no more here
        return
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return  # no driver, no GPU
    try:
        handles = [_handle(pynvml, i) for i in range(pynvml.nvmlDeviceGetCount())]
        names: list[tuple[str, ...]] = [
            (str(i), *((uuid,) if uuid else ())) for i, (_, uuid) in enumerate(handles)
        ]
        for place in shown(environ.get(_CUDA), names):
            handle, uuid = handles[place]
            gpu = _gpu(pynvml, handle) if uuid else None
            if gpu is not None:
                found.devices.append(Device(gpu=gpu, name=uuid, variable=_CUDA))
                found.power_w += _power_w(pynvml, handle)
        found.labels["nvidia.driver"] = text(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()
    if found.devices:
        found.accelerators.append("cuda")


def _handle(nvml: Any, number: int) -> tuple[Any, str]:
    """Return a GPU and its UUID; an empty one where it has fallen off the bus."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        return handle, text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return None, ""


def _gpu(nvml: Any, handle: Any) -> Gpu | None:
    """Return what a GPU is; None where it does not answer any more."""
    try:
        model = text(nvml.nvmlDeviceGetName(handle))
    except nvml.NVMLError:
        return None
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle).total / _GB
    except nvml.NVMLError:  # one that has none of its own shares the machine's
        memory = 0.0
    return Gpu(model=model, memory_gb=memory)


def _power_w(nvml: Any, handle: Any) -> float:
    try:
        return float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / _MI_PER_W
    except nvml.NVMLError:  # not every GPU has a limit
        return 0.0


def _amd(found: Found, root: Path, environ: Mapping[str, str]) -> None:
    """Look for GPUs that the amdgpu driver shows, and for the device through which ROCm runs."""
    cards = sorted((root / "sys/class/drm").glob("card[0-9]*"))
    gpus: list[Gpu] = []
    for card in cards:
        memory = _read(card / "device/mem_info_vram_total")
        if _read(card / "device/vendor") == _AMD and memory.isdigit():
            model = _read(card / "device/product_name") or "AMD GPU"
            gpus.append(Gpu(model=model, memory_gb=int(memory) / _GB))
    if not gpus or not (root / "dev/kfd").exists():
        return
    names: list[tuple[str, ...]] = [(str(place),) for place in range(len(gpus))]
    for place in shown(environ.get(_ROCM), names):
        found.devices.append(Device(gpu=gpus[place], name=str(place), variable=_ROCM))
    if found.devices:
        found.accelerators.append("rocm")


def _distribution(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def text(value: Any) -> str:
    """Return a name as NVML gives it: bytes in older versions of its binding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
