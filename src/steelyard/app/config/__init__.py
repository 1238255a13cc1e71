"""Configuration: one model that YAML, flags and the environment fill, and the plan it becomes."""

from steelyard.app.config.loading import Loaded, check_flags, load_config, load_plan
from steelyard.app.config.model import BenchmarkConfig

__all__ = ["BenchmarkConfig", "Loaded", "check_flags", "load_config", "load_plan"]
