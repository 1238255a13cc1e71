"""What a task needs of a worker, and whether a worker has it."""

from fnmatch import fnmatchcase

import msgspec


class Requirements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker must have for a task, all of it; nothing is asked for by default.

    Attributes:
        cpu_cores, memory_gb, disk_gb: taken from the worker while the task runs.
        gpus: how many, each with at least `gpu_memory_gb`, of a model that `gpu_model` matches (a
            pattern such as `*H200*`); taken while the task runs.
        accelerators: such as `cuda`, `rocm`, `mps`, `openvino`, `webgpu`, `webnn`.
        runtimes, browsers: programs that must be there, such as `docker` or `firefox`.
        labels: labels the worker must have, with these values.
        worker: its id, for a task of one worker.
        prefers: labels that speak for a worker and are no condition.
    """

    cpu_cores: float = 0.0
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    gpus: int = 0
    gpu_memory_gb: float = 0.0
    gpu_model: str = ""
    accelerators: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    browsers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    worker: str = ""
    prefers: dict[str, str] = {}


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU of a worker."""

    model: str = ""
    memory_gb: float = 0.0


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has.

    Attributes:
        hardware_type: what it is best known for: `cpu`, `gpu`, `browser`.
        power_w: what it draws at work, 0 where unknown.
        speed: how fast it is beside others, 1 where unknown.
    """

    hardware_type: str = "cpu"
    cpu_cores: float = 1.0
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    gpus: tuple[Gpu, ...] = ()
    accelerators: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    browsers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    power_w: float = 0.0
    speed: float = 1.0


class Room(msgspec.Struct, kw_only=True):
    """What of a worker's capabilities no lease holds."""

    cpu_cores: float
    memory_gb: float
    disk_gb: float
    gpus: int

    @classmethod
    def of(cls, capabilities: Capabilities) -> "Room":
        """Return the room of a worker without leases."""
        return cls(
            cpu_cores=capabilities.cpu_cores,
            memory_gb=capabilities.memory_gb,
            disk_gb=capabilities.disk_gb,
            gpus=len(capabilities.gpus),
        )

    def has(self, needs: Requirements) -> bool:
        """Tell whether the task fits in."""
        return (
            needs.cpu_cores <= self.cpu_cores
            and needs.memory_gb <= self.memory_gb
            and needs.disk_gb <= self.disk_gb
            and needs.gpus <= self.gpus
        )

    def take(self, needs: Requirements, sign: int = 1) -> None:
        """Take what a task needs; with `sign` -1, give it back."""
        self.cpu_cores -= sign * needs.cpu_cores
        self.memory_gb -= sign * needs.memory_gb
        self.disk_gb -= sign * needs.disk_gb
        self.gpus -= sign * needs.gpus


def unmet(needs: Requirements, worker_id: str, has: Capabilities) -> tuple[str, ...]:
    """Return what an idle worker lacks for a task, a phrase each; nothing when it fits."""
    found: list[str] = []
    if needs.worker and needs.worker != worker_id:
        found.append(f"only for worker {needs.worker}")
    for name, unit in (
        ("cpu_cores", "CPU cores"),
        ("memory_gb", "GB memory"),
        ("disk_gb", "GB disk"),
    ):
        wanted, there = getattr(needs, name), getattr(has, name)
        if wanted > there:
            found.append(f"needs {wanted:g} {unit}, has {there:g}")
    if needs.gpus:
        fitting = sum(fits(needs, gpu) for gpu in has.gpus)
        if fitting < needs.gpus:
            found.append(f"needs {_gpus(needs)}, has {fitting} such")
    for name, noun in (
        ("accelerators", "accelerator"),
        ("runtimes", "runtime"),
        ("browsers", "browser"),
    ):
        there = {each.lower() for each in getattr(has, name)}
        missing = [each for each in getattr(needs, name) if each.lower() not in there]
        if missing:
            found.append(f"lacks {noun} {', '.join(missing)}")
    for label, value in needs.labels.items():
        if has.labels.get(label) != value:
            found.append(f"label {label} is {has.labels.get(label, 'not set')}, not {value}")
    return tuple(found)


def preferred(needs: Requirements, has: Capabilities) -> int:
    """Return how many of the preferred labels a worker has."""
    return sum(has.labels.get(label) == value for label, value in needs.prefers.items())


def fits(needs: Requirements, gpu: Gpu) -> bool:
    """Tell whether a GPU is such a one as a task needs."""
    pattern = needs.gpu_model.lower()
    named = not pattern or fnmatchcase(gpu.model.lower(), pattern)
    return named and gpu.memory_gb >= needs.gpu_memory_gb


def _gpus(needs: Requirements) -> str:
    memory = f" with {needs.gpu_memory_gb:g} GB" if needs.gpu_memory_gb else ""
    return f"{needs.gpus} GPU {needs.gpu_model or 'of any model'}{memory}"
