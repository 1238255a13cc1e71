"""The role that sends requests."""

from steelyard.builtin.service.worker import Worker

__all__ = ["Worker"]
