"""Capabilities, requirements and task data in this dialect's words."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.kernel.errors import UsageError, did_you_mean

_T = TypeVar("_T", bound=msgspec.Struct)
_SUPPORTS = "supports_"
GPU_MEMORY = "gpu_memory_gb"
GPU_MODEL = "gpu_model"
TYPE_LABEL = "type"
HARDWARE_LABEL = "hardware_type"


def capabilities_of(told: Mapping[str, Any]) -> Capabilities:
    """Return what a worker has: `gpu_memory_gb` means a GPU, `supports_x` the accelerator x.

    `gpu_model` is that GPU's model; `gpus` says it better than both. Texts under other names become
    labels.

    Raises:
        UsageError: a value is of the wrong type, or a name is not known.
    """
    rest = dict(told)
    gpu = {"memory_gb": rest.pop(GPU_MEMORY, 0), "model": rest.pop(GPU_MODEL, "")}
    accelerators = _supported(rest)
    labels = dict(rest.pop("labels", {})) | _texts(rest, Capabilities)
    labels.setdefault(HARDWARE_LABEL, str(rest.get("hardware_type", "cpu")))
    if gpu["memory_gb"]:
        rest.setdefault("gpus", (gpu,))
    rest["accelerators"] = (*rest.get("accelerators", ()), *accelerators)
    return _converted("capabilities", rest | {"labels": labels}, Capabilities)


def is_capability(name: str) -> bool:
    """Tell whether a name is one of those by which `capabilities_of` reads more than texts."""
    fields = Capabilities.__struct_fields__
    return name in (*fields, GPU_MEMORY, GPU_MODEL) or name.startswith(_SUPPORTS)


def requirements_of(told: Mapping[str, Any]) -> Requirements:
    """Return what a task needs, in the same words as capabilities.

    Raises:
        UsageError: a value is of the wrong type, or a name is not known.
    """
    rest = dict(told)
    if rest.get(GPU_MEMORY):
        rest.setdefault("gpus", 1)
    accelerators = _supported(rest)
    labels = dict(rest.pop("labels", {})) | _texts(rest, Requirements)
    rest["accelerators"] = (*rest.get("accelerators", ()), *accelerators)
    return _converted("requirements", rest | {"labels": labels}, Requirements)


def in_words(capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Return capabilities, plain values, as plugins of this dialect are told them."""
    gpus = capabilities["gpus"]
    known = {"cuda", "webgpu", "webnn", *capabilities["accelerators"]}
    return {
        "hardware_type": capabilities["hardware_type"],
        "cpu_cores": capabilities["cpu_cores"],
        "memory_gb": capabilities["memory_gb"],
        GPU_MEMORY: max((gpu["memory_gb"] for gpu in gpus), default=0),
        **{_SUPPORTS + name: name in capabilities["accelerators"] for name in sorted(known)},
    }


def _supported(told: dict[str, Any]) -> tuple[str, ...]:
    names = [name for name in told if name.startswith(_SUPPORTS)]
    return tuple(name.removeprefix(_SUPPORTS) for name in names if told.pop(name))


def _texts(told: dict[str, Any], type_: type) -> dict[str, str]:
    fields = {field.name for field in msgspec.structs.fields(type_)}
    names = [name for name, value in told.items() if name not in fields and isinstance(value, str)]
    return {name: told.pop(name) for name in names}


def _converted(what: str, told: Mapping[str, Any], type_: type[_T]) -> _T:
    fields = [field.name for field in msgspec.structs.fields(type_)]
    for name in told:
        if name not in fields:
            raise UsageError(
                f"Unknown name in {what}", got=name,
                expected="one of " + ", ".join([*fields, "supports_..."]),
                next_step=did_you_mean(name, fields) or None,
            )  # fmt: skip
    try:
        return msgspec.convert(dict(told), type_, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"The {what} can't be used: {error}") from None
