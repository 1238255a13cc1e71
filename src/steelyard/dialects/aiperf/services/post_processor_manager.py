"""The role that turns records into reports."""

from steelyard.builtin.service.post_processor_manager import PostProcessorManager

__all__ = ["PostProcessorManager"]
