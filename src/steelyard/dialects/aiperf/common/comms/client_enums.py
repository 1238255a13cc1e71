"""The two ends of a connection between services."""

from enum import StrEnum


class ClientType(StrEnum):
    """Which socket an end of the bus uses."""

    BROKER = "router"
    SERVICE = "dealer"
