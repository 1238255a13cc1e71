"""The base class of services that a controller configures and starts."""

from steelyard.dialects.aiperf.common.service.base_service import BaseService

__all__ = ["BaseComponentService"]


class BaseComponentService(BaseService):
    """A role that registers with the controller, sends heartbeats, and does as it is told."""
