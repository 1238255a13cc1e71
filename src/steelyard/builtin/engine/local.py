"""Attempts as processes of this machine: each with a group, limits, files and logs of its own."""

from steelyard.runtime.fleet.local_engine import LocalEngine

__all__ = ["LocalEngine"]
