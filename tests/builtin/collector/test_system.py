"""The machine's numbers are the machine's."""

import multiprocessing
import os
import time

import psutil
import pytest

from steelyard.builtin.collector.system import SystemCollector


def burn(seconds):
    while time.process_time() < seconds:
        sum(range(1000))


def test_a_busy_processor_is_seen():
    """A process that computes for half a second is a share of all processors."""
    collector = SystemCollector()
    begun = time.monotonic()
    collector.start()
    process = multiprocessing.get_context("fork").Process(target=burn, args=(0.5,))
    process.start()
    process.join()
    found = collector.collect()
    share = 0.5 / (time.monotonic() - begun) / os.cpu_count()
    assert found["cpu_percent"] >= 0.9 * 100 * share
    assert found["cpu_percent"] <= 100


def test_memory_and_disk_are_those_of_the_system(tmp_path):
    for _ in range(100):  # what else runs on the machine may take much of both in between
        found = started().collect()
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        used = {"memory_used_bytes": memory.used, "disk_used_bytes": disk.used}
        if {name: found[name] for name in used} == pytest.approx(used, rel=0.05):
            break
    else:
        pytest.fail(f"{found} is not {used}")
    assert 0 < found["memory_available_bytes"] <= memory.total


def test_loopback_is_no_network():
    """Nothing that a test sends to itself counts."""
    collector = started()
    time.sleep(0.05)
    found = collector.collect()
    kept = [name for name in psutil.net_io_counters(pernic=True) if name != "lo"]
    if not kept:
        assert found["network_sent_bytes_per_s"] == 0
    assert found["network_sent_bytes_per_s"] >= 0


def test_what_is_not_wanted_is_not_told():
    collector = started(disk="", network=False, per_cpu=True)
    time.sleep(0.05)
    found = collector.collect()
    assert not [name for name in found if "network" in name or name.startswith("disk_used")]
    assert len(found["cpu"]) == psutil.cpu_count()


def started(**options):
    collector = SystemCollector(**options)
    collector.start()
    return collector
