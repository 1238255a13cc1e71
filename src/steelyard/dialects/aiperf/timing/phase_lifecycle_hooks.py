"""The base class of phase hooks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The ports bring numpy along, which a hook's author need not wait for.
    from steelyard.domain.bench.ports import PhaseTracker

__all__ = ["BasePhaseLifecycleHook"]


class BasePhaseLifecycleHook:
    """Told of a phase's events; override those of interest.

    `phase` is the phase's name: it equals a `CreditPhase` where it is one of the two kinds.
    `tracker.create_stats()` gives the counts and times as of now.
    """

    async def on_phase_start(self, phase: Any, tracker: "PhaseTracker") -> None:
        """Called when the phase begins."""

    async def on_phase_sending_complete(self, phase: Any, tracker: "PhaseTracker") -> None:
        """Called when every request of the phase was sent."""

    async def on_phase_complete(self, phase: Any, tracker: "PhaseTracker") -> None:
        """Called when nothing of the phase is in flight any more."""

    async def on_phase_timeout(self, phase: Any, tracker: "PhaseTracker") -> None:
        """Called when the phase ran out of time with requests in flight."""
