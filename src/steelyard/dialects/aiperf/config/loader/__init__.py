"""From a configuration to a plan."""

from steelyard.dialects.aiperf.timing.phase_orchestrator import plan_of as build_benchmark_plan

__all__ = ["build_benchmark_plan"]
