"""What is raised for a configuration with mistakes."""

from steelyard.kernel.errors import ConfigError as ConfigurationError

__all__ = ["ConfigurationError"]
