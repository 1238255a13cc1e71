"""Public fakes, the virtual clock and the conformance kits."""

from typing import Any

__all__ = [
    "BaseTestComponentService",
    "BaseTestControllerService",
    "BaseTestService",
    "mock_plugin",
]

_HOMES = {
    "BaseTestComponentService": "services",
    "BaseTestControllerService": "services",
    "BaseTestService": "services",
    "mock_plugin": "plugins",
}


def __getattr__(name: str) -> Any:
    """Return a public name from its module, imported when it is first asked for."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
