"""What a coordinator says no to."""

from steelyard.kernel.errors import UsageError


class UnknownTaskError(UsageError):
    """There is no task of that id."""


class UnknownWorkerError(UsageError):
    """There is no worker of that id."""


class RefusedError(UsageError):
    """What was asked for can't be done as things stand."""
