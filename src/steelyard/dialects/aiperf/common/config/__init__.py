"""Configuration of services."""

from steelyard.dialects.aiperf.common.config.loader import load_service_config
from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig

__all__ = ["ServiceConfig", "load_service_config"]
