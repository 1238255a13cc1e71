"""Base classes of tracker plugins, and their manager."""

from abc import ABC, abstractmethod
from typing import Any

from steelyard.dialects.tracelet.core.interfaces import (
    BackendInterface,
    CollectorInterface,
    MetricSink,
    MetricType,
)
from steelyard.dialects.tracelet.core.plugin_manager import PluginManager
from steelyard.dialects.tracelet.core.plugin_models import (
    PluginInfo,
    PluginMetadata,
    PluginState,
    PluginType,
)

__all__ = [
    "BackendInterface",
    "BackendPlugin",
    "CollectorInterface",
    "CollectorPlugin",
    "MetricSink",
    "MetricType",
    "PluginBase",
    "PluginInfo",
    "PluginManager",
    "PluginMetadata",
    "PluginState",
    "PluginType",
]


class PluginBase(ABC):
    """What every tracker plugin has.

    Attributes:
        config: its configuration, checked and with defaults; the manager sets it before
            `initialize`.
    """

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}

    @abstractmethod
    def get_metadata(self) -> PluginMetadata:
        """Return what the plugin says of itself; called on an instance that did nothing yet."""

    def initialize(self, config: dict[str, Any]) -> None:
        """Take the configuration in."""
        self.config = dict(config)

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    def stop(self) -> None:
        """End the work and let go of everything."""

    @abstractmethod
    def get_status(self) -> dict[str, Any]:
        """Return how it is doing, as plain data."""


class BackendPlugin(PluginBase, BackendInterface, MetricSink):
    """A place where experiments are kept."""

    def can_handle_type(self, metric_type: MetricType | str) -> bool:
        """Return whether this kind of thing may be handed over: all three that have a method."""
        value = getattr(metric_type, "value", metric_type)
        return any(known.value == value for known in MetricType)


class CollectorPlugin(PluginBase, CollectorInterface):
    """A source of facts about the machine."""
