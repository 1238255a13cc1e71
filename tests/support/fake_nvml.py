"""Builds a library that answers as NVIDIA's driver does, for machines without a GPU.

It is loaded by pynvml as it loads the real one, so names, types and units of each call are tried.
"""

import os
import subprocess
import sys
from pathlib import Path

from steelyard.testing.components import require_component

SOURCE = Path(__file__).with_name("nvml.c")
GPU_0 = {
    "utilization_percent": 90.0, "memory_utilization_percent": 40.0, "memory_percent": 25.0,
    "memory_used_bytes": 20e9, "power_w": 612.345, "temperature_c": 61.0, "sm_clock_mhz": 1980.0,
    "memory_clock_mhz": 2619.0,
}  # fmt: skip


def build_nvml(directory):
    """Return the directory of a built `libnvidia-ml.so.1`."""
    require_component("a C compiler", executable="cc", install="apt-get install gcc libc6-dev")
    library = directory / "libnvidia-ml.so.1"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(SOURCE)], check=True
    )
    return directory


def run_with_nvml(directory, program, mode="", *arguments):
    """Run a program in a process that finds the library where it looks for the driver's."""
    environ = {**os.environ, "LD_LIBRARY_PATH": str(directory), "FAKE_NVML": mode}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environ, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
