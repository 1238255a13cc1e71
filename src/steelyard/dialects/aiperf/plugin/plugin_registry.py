"""Lists plugins by category and makes instances of them."""

from typing import Any

from steelyard.app.composition import standard_host

__all__ = ["create_instance", "list_implementations"]


def list_implementations(category: str) -> list[str]:
    """Return the names of a category's plugins, by priority, then name; imports none of them.

    Args:
        category: a kind, singular or plural: `phase_hook`, `post_processors`.

    Raises:
        PluginError: there is no such category.
    """
    return standard_host().names(category)


def create_instance(category: str, name: str, **config: Any) -> Any:
    """Return a new instance of a plugin, `config` being checked against its schema.

    Raises:
        PluginError: the plugin is unknown, can't be loaded, or raised when it was made.
        ConfigError: `config` is wrong; one line per field.
    """
    return standard_host().create(category, name, **config)
