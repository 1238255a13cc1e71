"""The collector example of document 004."""

# mypy: ignore-errors
# Written the way the document writes it, which states few types.

import contextlib
import time
from typing import Any

import psutil

from steelyard.dialects.tracelet.core.plugins import CollectorPlugin, PluginMetadata


class AdvancedSystemCollectorPlugin(CollectorPlugin):
    """The machine's state, down to single processes on request."""

    def get_metadata(self) -> PluginMetadata:
        return PluginMetadata(
            name="advanced_system_collector",
            version="1.2.0",
            description="Advanced system metrics with process-level details",
            author="System Team",
            plugin_type="collector",
            entry_point="system_package.AdvancedSystemCollectorPlugin",
            dependencies=["psutil>=5.8.0", "GPUtil>=1.4.0"],
            config_schema={
                "include_processes": {"type": "boolean", "default": False},
                "process_limit": {"type": "number", "default": 10},
                "include_network": {"type": "boolean", "default": True},
            },
        )

    def initialize(self, config: dict[str, Any]) -> None:
        self.include_processes = config.get("include_processes", False)
        self.process_limit = config.get("process_limit", 10)
        self.include_network = config.get("include_network", True)
        self.last_network = None

    def start(self) -> None:
        self.start_time = time.time()
        if self.include_network:
            self.last_network = psutil.net_io_counters()

    def stop(self) -> None:
        pass

    def collect(self) -> dict[str, Any]:
        metrics = {"timestamp": time.time(), "uptime": time.time() - self.start_time}
        metrics.update(
            {
                "cpu_percent": psutil.cpu_percent(interval=1),
                "cpu_count_logical": psutil.cpu_count(),
                "cpu_count_physical": psutil.cpu_count(logical=False),
                "cpu_freq": psutil.cpu_freq()._asdict() if psutil.cpu_freq() else {},
            }
        )
        memory = psutil.virtual_memory()
        swap = psutil.swap_memory()
        metrics.update(
            {
                "memory_total": memory.total,
                "memory_available": memory.available,
                "memory_percent": memory.percent,
                "swap_total": swap.total,
                "swap_used": swap.used,
                "swap_percent": swap.percent,
            }
        )
        disk_usage = psutil.disk_usage("/")
        disk_io = psutil.disk_io_counters()
        metrics.update(
            {
                "disk_total": disk_usage.total,
                "disk_used": disk_usage.used,
                "disk_percent": disk_usage.percent,
                "disk_read_bytes": disk_io.read_bytes if disk_io else 0,
                "disk_write_bytes": disk_io.write_bytes if disk_io else 0,
            }
        )
        if self.include_network:
            now, last = psutil.net_io_counters(), self.last_network
            if last:
                metrics.update(
                    {
                        "network_bytes_sent": now.bytes_sent,
                        "network_bytes_recv": now.bytes_recv,
                        "network_bytes_sent_rate": (now.bytes_sent - last.bytes_sent) / 1.0,
                        "network_bytes_recv_rate": (now.bytes_recv - last.bytes_recv) / 1.0,
                    }
                )
            self.last_network = now
        if self.include_processes:
            metrics["top_processes"] = self._top_processes()
        with contextlib.suppress(ImportError):
            import GPUtil

            metrics["gpu"] = [
                {
                    "id": gpu.id,
                    "name": gpu.name,
                    "load": gpu.load * 100,
                    "memory_util": gpu.memoryUtil * 100,
                    "temperature": gpu.temperature,
                }
                for gpu in GPUtil.getGPUs()
            ]
        return metrics

    def _top_processes(self):
        processes = []
        for proc in psutil.process_iter(["pid", "name", "cpu_percent", "memory_percent"]):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                processes.append(proc.info)
        processes.sort(key=lambda x: x["cpu_percent"] or 0, reverse=True)
        return processes[: self.process_limit]

    def get_status(self) -> dict[str, Any]:
        return {
            "collector_name": "advanced_system_collector",
            "active": True,
            "config": {
                "include_processes": self.include_processes,
                "include_network": self.include_network,
            },
        }
