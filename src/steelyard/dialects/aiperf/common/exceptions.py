"""The exceptions of a run under their `aiperf` names."""

from steelyard.kernel.errors import ConfigError as ConfigurationError
from steelyard.kernel.errors import EndpointUnreachableError, PluginError, UsageError
from steelyard.kernel.errors import SteelyardError as AIPerfError
from steelyard.kernel.lifecycle import IllegalTransitionError as ServiceError
from steelyard.runtime.bus import BusError as CommunicationError
from steelyard.runtime.bus import CommandFailedError, CommandTimeoutError

__all__ = [
    "AIPerfError",
    "CommandFailedError",
    "CommandTimeoutError",
    "CommunicationError",
    "ConfigurationError",
    "EndpointUnreachableError",
    "PluginError",
    "ServiceError",
    "UsageError",
]
