"""Measured by counters laid out as Linux lays them out; estimated by the real codecarbon."""

import json
import subprocess
import sys
import time

import pytest
from fake_nvml import build_nvml, run_with_nvml

from steelyard.builtin.collector.energy import EnergyCollector
from steelyard.kernel.errors import PluginError

ESTIMATE = """
import json, sys, threading, time

connections = []
sys.addaudithook(
    lambda event, args: connections.append(repr(args[1]))
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo") else None
)
from steelyard.builtin.collector.energy import EnergyCollector

collector = EnergyCollector(estimate=True, country="FRA", root=sys.argv[1])
collector.validate_environment()
collector.start()
first = collector.collect()
time.sleep(0.5)
second = collector.collect()
collector.stop()
print(json.dumps([first, second, connections]))
"""

MEASURE = """
import json, sys
from steelyard.builtin.collector.energy import EnergyCollector

collector = EnergyCollector(root=sys.argv[1])
collector.validate_environment()
collector.start()
print(json.dumps(collector.collect()))
collector.stop()
"""


def zone(root, name, label, energy_uj, range_uj=10_000_000):
    directory = root / "sys/class/powercap" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "name").write_text(f"{label}\n")
    (directory / "energy_uj").write_text(f"{energy_uj}\n")
    (directory / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return directory


def started(root):
    collector = EnergyCollector(root=str(root))
    collector.validate_environment()
    collector.start()
    return collector


def test_processors_are_measured_by_their_counters(tmp_path):
    """2 J of the package, of which 0.5 J are its memory's; a wrap loses nothing."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", "dram", 1_000_000)
    begun = time.monotonic()
    collector = started(tmp_path)
    (package / "energy_uj").write_text("1000000\n")
    zone(tmp_path, "intel-rapl:0:0", "dram", 1_500_000)
    found = collector.collect()["measured"]
    elapsed_s = time.monotonic() - begun
    collector.stop()
    assert found["package-0_energy_j"] == pytest.approx(2.0)
    assert found["package-0-dram_energy_j"] == pytest.approx(0.5)
    assert found["package-0_power_w"] >= 2.0 / (elapsed_s + 0.05)


def test_zones_that_are_shown_twice_count_once(tmp_path):
    """The same package through MMIO is no second package."""
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    assert set(started(tmp_path).collect()["measured"]) == {
        "package-0_energy_j", "package-0_power_w",
    }  # fmt: skip


def test_counters_that_nobody_may_read_are_named(tmp_path):
    """As on most machines for all but root; here the counter is no file."""
    (zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj").unlink()
    with pytest.raises(PluginError, match=r"No energy counter.*energy_uj"):
        EnergyCollector(root=str(tmp_path)).validate_environment()


def test_gpus_are_measured_by_their_own_counters(tmp_path):
    """Millijoules become joules; a GPU without a counter is left out."""
    library = build_nvml(tmp_path)
    done = run_with_nvml(library, MEASURE, "", str(tmp_path))
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["measured"]
    assert set(measured) == {"gpu0_energy_j", "gpu0_power_w"}
    assert measured["gpu0_energy_j"] == 5.0


def test_an_estimate_is_called_one_and_asks_no_network(tmp_path):
    """What its own configuration says is not done: no connection, and no name is looked up."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_api = True\nemissions_endpoint = http://192.0.2.1/\n"
        "electricitymaps_api_token = abc\nco2_signal_api_token = abc\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", ESTIMATE, str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, connections = json.loads(done.stdout)
    assert set(second) == {"estimated"}
    estimated = second["estimated"]
    assert estimated["energy_j"] > first["estimated"]["energy_j"] > 0
    assert estimated["emissions_kg"] > 0
    assert estimated["power_w"] > 0
    parts = estimated["cpu_energy_j"] + estimated["ram_energy_j"] + estimated["gpu_energy_j"]
    assert parts == pytest.approx(estimated["energy_j"], rel=1e-6)
    assert connections == []
    assert "codecarbon" not in done.stderr
