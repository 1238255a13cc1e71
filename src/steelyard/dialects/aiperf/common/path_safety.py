"""Reading a file that a user named: the core's guarded read."""

from steelyard.runtime.path_safety import safe_read_template_path

__all__ = ["safe_read_template_path"]
