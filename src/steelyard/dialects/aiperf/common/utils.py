"""Units and durations."""

from steelyard.kernel.units import NS_PER_MS, NS_PER_S, NS_PER_US, parse_duration_s, seconds_to_ns

__all__ = ["NS_PER_MS", "NS_PER_S", "NS_PER_US", "parse_duration_s", "seconds_to_ns"]
