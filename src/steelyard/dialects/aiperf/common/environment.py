"""Settings that only the environment has, read when they are asked for."""

import os

from steelyard.runtime.fanout import buffered_max

__all__ = ["Environment"]

_TRUE = frozenset({"1", "true", "yes", "on"})


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _TRUE


class _Dev:
    """For those who develop Steelyard or a plugin."""

    @property
    def MODE(self) -> bool:
        """`STEELYARD_DEV_MODE`: show what only a developer wants to see."""
        return _flag("STEELYARD_DEV_MODE")

    @property
    def SHOW_INTERNAL_METRICS(self) -> bool:
        """`STEELYARD_DEV_SHOW_INTERNAL_METRICS`: show metrics of the instrument itself."""
        return _flag("STEELYARD_DEV_SHOW_INTERNAL_METRICS")


class _Otel:
    """For streaming to OpenTelemetry."""

    @property
    def MAX_BUFFERED_RECORDS(self) -> int:
        """`STEELYARD_OTEL_MAX_BUFFERED_RECORDS`: events kept for a slow receiver; 10,000.

        Raises:
            UsageError: the variable is no whole number above 0.
        """
        return buffered_max(os.environ)


class Environment:
    """The settings, by section."""

    DEV = _Dev()
    OTEL = _Otel()
