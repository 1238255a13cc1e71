"""Classes and metadata of plugins, by category and name."""

from typing import Any

from steelyard.app.composition import standard_host

__all__ = ["get_class", "get_metadata", "list_names"]


def get_class(category: str, name: str) -> type:
    """Return a plugin's class, imported and fitting its port.

    Args:
        category: a `PluginType` or its text.
        name: the plugin's name within it.

    Raises:
        PluginError: the plugin is unknown, disabled, broken, or lacks a requirement.
    """
    return standard_host().load(str(category), name)


def get_metadata(category: str, name: str) -> dict[str, Any]:
    """Return the facts that a manifest states of a plugin (`endpoint_path`, ...); imports nothing.

    Raises:
        PluginError: the plugin is unknown.
    """
    return dict(standard_host().spec(str(category), name).metadata)


def list_names(category: str) -> list[str]:
    """Return the names of a category's plugins, by priority, then name.

    Raises:
        PluginError: there is no such category.
    """
    return standard_host().names(str(category))
