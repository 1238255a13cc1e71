"""The bus: what a service may do with it, and what can go wrong."""

from steelyard.runtime.bus import (
    Bus,
    BusError,
    BusPort,
    CommandFailedError,
    CommandTimeoutError,
    InlineHub,
)

__all__ = [
    "Bus",
    "BusError",
    "BusPort",
    "CommandFailedError",
    "CommandTimeoutError",
    "InlineHub",
]
