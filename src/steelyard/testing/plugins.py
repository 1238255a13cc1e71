"""Puts a class of a test's own in the place of a plugin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steelyard.app.composition import standard_host
from steelyard.plugins.spec import PluginSpec


@contextmanager
def mock_plugin(kind: str, name: str, cls: type, **metadata: Any) -> Iterator[PluginSpec]:
    """Have `cls` stand for the plugin `name`, taken or not, while the `with` block runs.

    Args:
        kind: a kind of plugin, or a member of an enumeration of them.
        name: the name to take; whoever had it gets it back.
        cls: any class; it is not checked against the kind's port.
        metadata: fields of `PluginSpec`, and facts of the kind such as `endpoint_path`.
    """
    with standard_host().replaced(str(kind), name, cls, **metadata) as spec:
        yield spec
