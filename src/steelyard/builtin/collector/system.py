"""What the whole machine does: processors, memory, disks, network.

Numbers are psutil's, and those of the machine: in a container too, where its limits are facts of
the `environment` collector.
"""

import os
import time
from typing import Any

import psutil

from steelyard.domain.track.rates import Rates

_LOOPBACK = ("lo", "lo0")


class SystemCollector:
    """Shares in percent, sizes in bytes, rates per second since the sample before.

    Args:
        per_cpu: tell each processor's share too.
        disk: a path on the file system whose space is told; "" for none.
        network: tell what network interfaces carry, without loopback.
    """

    period_s = 1.0

    def __init__(self, *, per_cpu: bool = False, disk: str = os.sep, network: bool = True) -> None:
        self._per_cpu = per_cpu
        self._disk = disk
        self._network = network
        self._rates: Rates[str] = Rates()

    def start(self) -> None:
        """Take the values from which rates are counted."""
        self._processors()
        self._rates.per_s(self._counters(), time.monotonic_ns())

    def collect(self) -> dict[str, Any]:
        """Return the machine's state."""
        memory = psutil.virtual_memory()
        swap = psutil.swap_memory()
        found: dict[str, Any] = {
            **self._processors(),
            "memory_percent": memory.percent,
            "memory_used_bytes": memory.used,
            "memory_available_bytes": memory.available,
            "swap_percent": swap.percent,
            "swap_used_bytes": swap.used,
        }
        if self._disk:
            usage = psutil.disk_usage(self._disk)
            found["disk_percent"] = usage.percent
            found["disk_used_bytes"] = usage.used
        found.update(self._rates.per_s(self._counters(), time.monotonic_ns()))
        return found

    def _processors(self) -> dict[str, Any]:
        load = {"load_1m": os.getloadavg()[0]} if hasattr(os, "getloadavg") else {}
        if not self._per_cpu:
            return {"cpu_percent": psutil.cpu_percent(), **load}
        shares = psutil.cpu_percent(percpu=True)
        return {"cpu_percent": sum(shares) / max(1, len(shares)), "cpu": shares, **load}

    def _counters(self) -> dict[str, float]:
        counts: dict[str, float] = {}
        disk = psutil.disk_io_counters()
        if disk is not None:
            counts["disk_read_bytes_per_s"] = disk.read_bytes
            counts["disk_write_bytes_per_s"] = disk.write_bytes
        if self._network:
            carried = [
                count
                for name, count in psutil.net_io_counters(pernic=True).items()
                if name not in _LOOPBACK
            ]
            counts["network_sent_bytes_per_s"] = sum(c.bytes_sent for c in carried)
            counts["network_received_bytes_per_s"] = sum(c.bytes_recv for c in carried)
        return counts
