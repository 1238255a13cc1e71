"""Runs a plan."""

from steelyard.app.profile import run_profile as run_benchmark

__all__ = ["run_benchmark"]
