"""NVIDIA GPUs of this machine, asked through NVML (`pip install steelyard[gpu]`).

Names and units of the calls are those of NVIDIA's NVML API reference. What a GPU does not support
is left out; what it stops to answer is a failure.
"""

from collections.abc import Callable
from typing import Any

from steelyard.domain.track.ports import Noted
from steelyard.kernel.errors import PluginError

_MI_PER_W = 1000
_ABSENT = ("NotSupported", "NoPermission", "FunctionNotFound", "InvalidArgument")


class GpuCollector:
    """Numbers of each GPU below its index: `gpu/0/utilization_percent`.

    All GPUs that the driver shows are told, in its order, whatever `CUDA_VISIBLE_DEVICES` says.

    Args:
        devices: indices of the GPUs to tell; all without it.
    """

    period_s = 1.0

    def __init__(self, *, devices: list[int] | None = None) -> None:
        self._wanted = devices
        self._nvml: Any = None
        self._absent: tuple[type[Exception], ...] = ()
        self._devices: dict[int, Any] = {}
        self._asked: dict[int, dict[str, Callable[[], float]]] = {}

    @classmethod
    def validate_environment(cls) -> None:
        """Raise where there is no NVML, no driver or no GPU.

        Raises:
            PluginError: one of these is missing.
        """
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise PluginError(
                f"NVML can't be used: {error}",
                next_step="Install NVIDIA's driver; in a container, its libraries too.",
            ) from error
        try:
            if not pynvml.nvmlDeviceGetCount():
                raise PluginError("There is no NVIDIA GPU here")
        finally:
            pynvml.nvmlShutdown()

    def start(self) -> None:
        """Open NVML, and find out what each GPU can tell."""
        import pynvml

        self._nvml = pynvml
        self._absent = tuple(getattr(pynvml, f"NVMLError_{name}") for name in _ABSENT)
        pynvml.nvmlInit()
        try:
            count = pynvml.nvmlDeviceGetCount()
            chosen = range(count) if self._wanted is None else self._wanted
            self._devices = {i: pynvml.nvmlDeviceGetHandleByIndex(i) for i in chosen}
            self._asked = {i: self._supported(handle) for i, handle in self._devices.items()}
        except pynvml.NVMLError:
            pynvml.nvmlShutdown()
            raise

    def facts(self) -> Noted:
        """Return the driver's version, and each GPU's name, memory and power limit."""
        nvml = self._nvml
        found: dict[str, Any] = {
            "driver": _text(nvml.nvmlSystemGetDriverVersion()),
            "count": nvml.nvmlDeviceGetCount(),
        }
        for index, handle in self._devices.items():
            asked = {
                "name": lambda handle=handle: _text(nvml.nvmlDeviceGetName(handle)),
                "memory_bytes": lambda handle=handle: nvml.nvmlDeviceGetMemoryInfo(handle).total,
                "power_limit_w": lambda handle=handle: (
                    nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / _MI_PER_W
                ),
            }
            answers = {name: self._answer(ask) for name, ask in asked.items()}
            found[str(index)] = {k: v for k, v in answers.items() if v is not None}
        return Noted(found)

    def collect(self) -> dict[str, Any]:
        """Return what each GPU does."""
        return {
            str(index): {
                name: value
                for ask in asked.values()
                for name, value in (self._answer(ask) or {}).items()
            }
            for index, asked in self._asked.items()
        }

    def stop(self) -> None:
        """Close NVML; others in this process that have it open keep it."""
        self._nvml.nvmlShutdown()

    def _answer(self, ask: Callable[[], Any]) -> Any:
        """Return what NVML says; None for what this GPU does not tell."""
        try:
            return ask()
        except self._absent:
            return None

    def _supported(self, handle: Any) -> dict[str, Callable[[], Any]]:
        """Return the questions that a GPU answers: the others cost a call each time."""
        nvml = self._nvml

        def utilization() -> dict[str, float]:
            rates = nvml.nvmlDeviceGetUtilizationRates(handle)
            return {
                "utilization_percent": rates.gpu,
                "memory_utilization_percent": rates.memory,
            }

        def memory() -> dict[str, float]:
            info = nvml.nvmlDeviceGetMemoryInfo(handle)
            return {
                "memory_used_bytes": info.used,
                "memory_percent": 100 * info.used / info.total if info.total else 0.0,
            }

        def power() -> dict[str, float]:
            return {"power_w": nvml.nvmlDeviceGetPowerUsage(handle) / _MI_PER_W}

        def temperature() -> dict[str, float]:
            sensor = nvml.NVML_TEMPERATURE_GPU
            return {"temperature_c": nvml.nvmlDeviceGetTemperature(handle, sensor)}

        def clock(name: str, kind: int) -> Callable[[], dict[str, float]]:
            return lambda: {name: nvml.nvmlDeviceGetClockInfo(handle, kind)}

        questions = {
            "utilization": utilization,
            "memory": memory,
            "power": power,
            "temperature": temperature,
            "sm_clock": clock("sm_clock_mhz", nvml.NVML_CLOCK_SM),
            "memory_clock": clock("memory_clock_mhz", nvml.NVML_CLOCK_MEM),
        }
        return {name: ask for name, ask in questions.items() if self._answer(ask) is not None}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
