"""The names of the `tracelet` document (004), spelled over the core.

`start_logging`, `stop_logging`, `get_active_experiment` and `Experiment` are the core's own.
"""

from typing import Any

__all__ = ["Experiment", "get_active_experiment", "start_logging", "stop_logging"]


def __getattr__(name: str) -> Any:
    """Return one of the core's names, imported when it is first asked for."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import steelyard.track

    return getattr(steelyard.track, name)
