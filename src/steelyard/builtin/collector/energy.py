"""What the run costs in energy, each value below `measured` or `estimated`.

Measured are the processors' counters that Linux shows (`/sys/class/powercap`, RAPL; usually for
root only) and the GPUs' own (NVML). An estimate, where it is wanted, is codecarbon's.
"""

import importlib.util
import logging
import time
from pathlib import Path
from typing import Any

from steelyard.domain.track.energy import J_PER_KWH, EnergyCounter
from steelyard.kernel.errors import PluginError

ESTIMATE_S = 15
_ZONES_MAX = 64
_NS = 1_000_000_000


class EnergyCollector:
    """Joules since the run began, and watts since the sample before.

    A counter is one of the whole machine: other programs' energy is in it. With nothing to measure
    and no estimate wanted there is nothing to tell, and `validate_environment` says so.

    Args:
        estimate: ask codecarbon too, which knows typical powers of processors and memories. It
            makes no network call.
        country: ISO code of three letters; with it, emissions are estimated too.
        root: where `sys` lies.
    """

    period_s = 1.0

    def __init__(self, *, estimate: bool = False, country: str = "", root: str = "/") -> None:
        self._zones = _zones(Path(root) / "sys/class/powercap")
        self._wants_estimate = estimate
        self._country = country
        self._counters: dict[str, EnergyCounter] = {}
        self._told_ns = 0
        self._gpus = _Gpus()
        self._estimator: _Estimator | None = None

    def validate_environment(self) -> None:
        """Raise where nothing is told.

        Raises:
            PluginError: there is no counter that can be read, and no estimate to be had.
        """
        if self._wants_estimate:
            if importlib.util.find_spec("codecarbon") is None:
                raise PluginError(
                    "codecarbon is not installed", next_step="pip install 'steelyard[energy]'"
                )
        elif not self._zones and not _Gpus.can_tell():
            raise PluginError(
                "No energy counter can be read here",
                next_step="Let this user read /sys/class/powercap/*/energy_uj, or ask for an "
                'estimate: {"energy": {"estimate": True}}.',
            )

    def start(self) -> None:
        """Take the counters' first values."""
        self._gpus.open()
        if self._wants_estimate:
            self._estimator = _Estimator(self._country)
        self._counters = {name: EnergyCounter(size) for name, (_, size) in self._zones.items()}
        self._measured()

    def collect(self) -> dict[str, Any]:
        """Return joules and watts."""
        found: dict[str, Any] = {}
        measured = self._measured()
        if measured:
            found["measured"] = measured
        if self._estimator is not None:
            found["estimated"] = self._estimator.told()
        return found

    def stop(self) -> None:
        """Let go of NVML and codecarbon."""
        self._gpus.close()
        if self._estimator is not None:
            self._estimator.close()

    def _measured(self) -> dict[str, float]:
        values = {name: _read(path) for name, (path, _) in self._zones.items()}
        values |= self._gpus.energies_uj()
        now_ns = time.monotonic_ns()
        elapsed_s = (now_ns - self._told_ns) / _NS
        self._told_ns = now_ns
        found: dict[str, float] = {}
        for name, value_uj in values.items():
            used_j = self._counters.setdefault(name, EnergyCounter()).told(value_uj)
            found[f"{name}_energy_j"] = self._counters[name].joules
            found[f"{name}_power_w"] = used_j / elapsed_s
        return found


def _read(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def _zones(directory: Path) -> dict[str, tuple[Path, int]]:
    """Return the counters that can be read, by name: the file, and where it begins again.

    A zone below another is a part of it (`package-0`, `package-0-dram`).
    """
    found: dict[str, tuple[Path, int]] = {}
    names: dict[str, str] = {}
    try:
        zones = sorted(directory.glob("*:*"))[:_ZONES_MAX]
    except OSError:
        return {}
    for zone in zones:
        try:
            own = (zone / "name").read_text(encoding="ascii").strip()
            above = names.get(zone.name.rpartition(":")[0], "")
            # Some machines show the same zones twice, through another driver.
            name = names[zone.name] = f"{above}-{own}" if above else own
            _read(zone / "energy_uj")
            size = _read(zone / "max_energy_range_uj")
        except (OSError, ValueError):
            continue
        found.setdefault(name, (zone / "energy_uj", size))
    return found


class _Gpus:
    """The energy counters of NVIDIA GPUs, where there are any."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[int, Any] = {}

    @classmethod
    def can_tell(cls) -> bool:
        """Tell whether a GPU counts its energy here."""
        gpus = cls()
        gpus.open()
        found = bool(gpus.energies_uj())
        gpus.close()
        return found

    def open(self) -> None:
        """Find the GPUs that count; none without NVML."""
        if importlib.util.find_spec("pynvml") is None:
            return
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        self._nvml = pynvml
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            try:
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            except pynvml.NVMLError:  # GPUs before Volta have no such counter
                continue
            self._handles[index] = handle

    def energies_uj(self) -> dict[str, int]:
        """Return the counters, which NVML tells in millijoules since the driver was loaded."""
        ask = getattr(self._nvml, "nvmlDeviceGetTotalEnergyConsumption", None)
        return {f"gpu{i}": ask(handle) * 1000 for i, handle in self._handles.items() if ask}

    def close(self) -> None:
        """Let go of NVML."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.nvmlShutdown()


class _Estimator:
    """codecarbon's offline tracker, told to write nothing and to ask nobody.

    What would have it send something is stated here, so that no configuration file or variable of
    its own can.
    """

    def __init__(self, country: str) -> None:
        from codecarbon import OfflineEmissionsTracker

        # It says what it does before its own option can silence it, and its import sets a level.
        logging.getLogger("codecarbon").setLevel(logging.ERROR)
        self._has_country = bool(country)
        self._last: Any = None
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country or "USA", measure_power_secs=ESTIMATE_S, log_level="error",
            output_methods=[], output_handlers=[self], emissions_endpoint=None, api_key=None,
            save_to_api=False, save_to_file=False, save_to_logger=False, save_to_prometheus=False,
            save_to_logfire=False, allow_multiple_runs=True, tracking_mode="machine",
            # Empty, not None: for None a token of its configuration under an older name counts.
            electricitymaps_api_token="",
        )  # fmt: skip
        self._tracker.start()

    def out(self, total: Any, _delta: Any) -> None:
        """Take what the tracker found so far; it calls this."""
        self._last = total

    def told(self) -> dict[str, float]:
        """Return the estimate as of now."""
        self._tracker.flush()
        if self._last is None:
            raise PluginError("codecarbon told nothing")
        found = {
            f"{part}_energy_j": getattr(self._last, f"{part}_energy") * J_PER_KWH
            for part in ("cpu", "ram", "gpu")
        }
        found["energy_j"] = self._last.energy_consumed * J_PER_KWH
        found["power_w"] = self._last.cpu_power + self._last.ram_power + self._last.gpu_power
        if self._has_country:
            found["emissions_kg"] = self._last.emissions
        return found

    def close(self) -> None:
        """End its threads."""
        self._tracker.stop()
