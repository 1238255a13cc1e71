"""The role that decides which request may be sent when."""

from steelyard.builtin.service.timing_manager import TimingManager

__all__ = ["TimingManager"]
