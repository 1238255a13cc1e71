"""Starts the services of a run, watches them, and ends them."""

from steelyard.runtime.supervisor import Supervisor as ServiceManager

__all__ = ["ServiceManager"]
