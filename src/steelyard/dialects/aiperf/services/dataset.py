"""The role that makes or reads the prompts."""

from steelyard.builtin.service.dataset_manager import DatasetManager

__all__ = ["DatasetManager"]
