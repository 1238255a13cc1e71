"""The names of the `tracelet` document (004), spelled over the core.

`start_logging`, `stop_logging`, `get_active_experiment` and `Experiment` are the core's own.
"""

from steelyard.runtime.lazy_names import lazy_names

__all__ = ["Experiment", "get_active_experiment", "start_logging", "stop_logging"]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "steelyard.track"))
