"""Public fakes, the virtual clock and the conformance kits."""

from steelyard.runtime.lazy_names import lazy_names

__all__ = [
    "BaseTestComponentService",
    "BaseTestControllerService",
    "BaseTestService",
    "mock_plugin",
]

_HOMES = {
    "BaseTestComponentService": "steelyard.testing.services",
    "BaseTestControllerService": "steelyard.testing.services",
    "BaseTestService": "steelyard.testing.services",
    "mock_plugin": "steelyard.testing.plugins",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
