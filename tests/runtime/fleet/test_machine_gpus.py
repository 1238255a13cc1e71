"""GPUs are those that a program would be shown."""

import json
import sys
import types

import pytest
from fake_nvml import build_nvml, run_with_nvml

from steelyard.runtime.fleet import machine_gpus
from steelyard.runtime.fleet.machine_gpus import shown

NAMES = [("0", "GPU-aa11"), ("1", "GPU-ab22"), ("2", "GPU-cc33")]
PROGRAM = """
import json, msgspec
from steelyard.runtime.fleet.machine_gpus import find
print(json.dumps(msgspec.to_builtins(find())))
"""


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (None, [0, 1, 2]), ("", []), ("0", [0]), ("2,0", [0, 2]), (" 1 , 2", [1, 2]),
        ("GPU-cc33", [2]), ("GPU-cc", [2]), ("GPU-a", []), ("0,9,1", [0]), ("-1", []),
        ("NoDevFiles", []), ("0,0", [0]),
    ],
)  # fmt: skip
def test_a_variable_hides_what_it_does_not_name(wanted, places):
    assert shown(wanted, NAMES) == places


def test_a_machine_without_a_gpu_has_none(tmp_path):
    found = machine_gpus.find(tmp_path, {})
    assert (found.devices, found.power_w) == ([], 0.0)
    assert "rocm" not in found.accelerators
    assert "mps" not in found.accelerators


def card(root, number, vendor, memory, model=""):
    device = root / f"sys/class/drm/card{number}/device"
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor + "\n")
    if memory:
        (device / "mem_info_vram_total").write_text(f"{memory}\n")
    if model:
        (device / "product_name").write_text(model)


def test_gpus_of_amd_are_those_that_rocm_reaches(tmp_path):
    card(tmp_path, 0, "0x8086", 0)
    card(tmp_path, 1, "0x1002", 192_000_000_000, "AMD Instinct MI300X")
    card(tmp_path, 2, "0x1002", 16_000_000_000)
    assert machine_gpus.find(tmp_path, {}).devices == []  # no /dev/kfd: a display, no more
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    found = machine_gpus.find(tmp_path, {})
    assert found.accelerators[:1] == ["rocm"]
    assert [(d.name, d.gpu.model, d.gpu.memory_gb) for d in found.devices] == [
        ("0", "AMD Instinct MI300X", 192.0), ("1", "AMD GPU", 16.0),
    ]  # fmt: skip
    assert [d.name for d in machine_gpus.find(tmp_path, {"ROCR_VISIBLE_DEVICES": "1"}).devices] == [
        "1"
    ]


def nvidia(directory, mode=""):
    done = run_with_nvml(directory, PROGRAM, mode)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_gpus_of_nvidia_are_asked_of_the_drivers_library(tmp_path):
    library = build_nvml(tmp_path)
    found = nvidia(library)
    assert "cuda" in found["accelerators"]
    assert [(d["name"], d["gpu"]["model"], d["gpu"]["memory_gb"]) for d in found["devices"]] == [
        ("GPU-1000-fake", "Fake H100", 80.0), ("GPU-2000-fake", "Fake H200", 80.0),
    ]  # fmt: skip
    assert found["labels"]["nvidia.driver"] == "570.86.15"
    assert found["power_w"] > 0
    for mode in ("no-driver", "no-gpu"):
        nothing = nvidia(library, mode)
        assert nothing["devices"] == []
        assert "cuda" not in nothing["accelerators"]


class Nvml(types.SimpleNamespace):
    """NVML's binding where the first GPU is lost, the second stops, the third has no memory."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __getattr__(self, name):
        return lambda *_: None

    def nvmlDeviceGetCount(self):  # noqa: N802  NVML's own name
        return 4

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802  NVML's own name
        if number == 0:
            raise self.NVMLError("GPU is lost")
        return number

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802  NVML's own name
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle):  # noqa: N802  NVML's own name
        if handle == 1:
            raise self.NVMLError("GPU is lost")
        return f"Fake {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802  NVML's own name
        if handle == 2:
            raise self.NVMLError("not supported")
        return types.SimpleNamespace(total=80e9)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):  # noqa: N802  NVML's own name
        return 700_000


def test_a_gpu_that_does_not_answer_keeps_no_machine_from_being_a_worker(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setattr(machine_gpus.importlib.util, "find_spec", lambda _: True)
    found = machine_gpus.find(tmp_path, {})
    assert [(d.name, d.gpu.model, d.gpu.memory_gb) for d in found.devices] == [
        ("GPU-2", "Fake 2", 0.0), ("GPU-3", "Fake 3", 80.0),
    ]  # fmt: skip
    assert found.power_w == 1400
    shown_one = machine_gpus.find(tmp_path, {"CUDA_VISIBLE_DEVICES": "0,3"})
    assert [d.name for d in shown_one.devices] == ["GPU-3"]
