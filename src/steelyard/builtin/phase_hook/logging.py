"""Phase hook `logging`: each phase event as a line of the run's log."""

import logging
from typing import Any

from steelyard.domain.bench.ports import PhaseTracker
from steelyard.kernel.units import NS_PER_S

_log = logging.getLogger("steelyard.phase")


class LoggingPhaseHook:
    """Logs what began or ended, with counts and seconds.

    Args:
        level: name of the log level.
    """

    def __init__(self, level: str = "INFO") -> None:
        self._level = logging.getLevelNamesMapping()[level.upper()]

    async def on_phase_start(self, phase: Any, tracker: PhaseTracker) -> None:
        """Log that the phase begins."""
        del tracker
        _log.log(self._level, "phase %s begins", phase)

    async def on_phase_sending_complete(self, phase: Any, tracker: PhaseTracker) -> None:
        """Log how many requests were sent in which time."""
        stats = tracker.create_stats()
        took = _seconds(stats.start_ns, stats.sent_end_ns)
        _log.log(self._level, "phase %s has sent %d requests%s", phase, stats.sent, took)

    async def on_phase_complete(self, phase: Any, tracker: PhaseTracker) -> None:
        """Log the final counts."""
        stats = tracker.create_stats()
        _log.log(
            self._level,
            "phase %s is over: %d completed, %d failed, %d cancelled%s",
            phase,
            stats.completed,
            stats.failed,
            stats.cancelled,
            _seconds(stats.start_ns, stats.end_ns),
        )

    async def on_phase_timeout(self, phase: Any, tracker: PhaseTracker) -> None:
        """Log what was still in flight when the time was over."""
        in_flight = tracker.create_stats().in_flight
        _log.log(self._level, "phase %s timed out with %d requests in flight", phase, in_flight)


def _seconds(start_ns: int | None, end_ns: int | None) -> str:
    if start_ns is None or end_ns is None:
        return ""
    return f" in {(end_ns - start_ns) / NS_PER_S:.3f} s"
