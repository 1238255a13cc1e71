"""The role that watches the workers."""

from steelyard.builtin.service.worker_manager import WorkerManager

__all__ = ["WorkerManager"]
