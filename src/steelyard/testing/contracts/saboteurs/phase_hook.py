"""Phase hooks with one fault each, over one that remembers events."""

import asyncio
import time
from typing import Any

from steelyard.testing.contracts.phase_hook import PhaseHookSubject


class Remembers:
    """Conforms."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    async def on_phase_start(self, phase: Any, tracker: Any) -> None:
        """Remember."""
        self.seen.append(("start", tracker.create_stats()))

    async def on_phase_sending_complete(self, phase: Any, tracker: Any) -> None:
        """Remember, off the loop."""
        await asyncio.to_thread(self.seen.append, ("sent", tracker.create_stats()))

    async def on_phase_complete(self, phase: Any, tracker: Any) -> None:
        """Remember."""
        self.seen.append(("complete", tracker.create_stats()))


class Blocks(Remembers):
    """Does slow I/O on the loop."""

    async def on_phase_start(self, phase: Any, tracker: Any) -> None:
        """As above, with the fault."""
        time.sleep(0.3)  # noqa: ASYNC251  the fault


class NotAsync(Remembers):
    """Forgets `async`."""

    def on_phase_start(self, phase: Any, tracker: Any) -> Any:
        """As above, with the fault."""
        self.seen.append(("start", None))


class TrustsTheStart(Remembers):
    """Believes that it has seen the phase begin."""

    async def on_phase_complete(self, phase: Any, tracker: Any) -> None:
        """As above, with the fault."""
        self.seen.append(("took", tracker.create_stats().end_ns - self.seen[0][1].start_ns))


class SubtractsNone(Remembers):
    """Believes that every phase has ended."""

    async def on_phase_sending_complete(self, phase: Any, tracker: Any) -> None:
        """As above, with the fault."""
        stats = tracker.create_stats()
        self.seen.append(("took", stats.end_ns - stats.start_ns))


class BadTimeout(Remembers):
    """Was never tried with a timeout."""

    async def on_phase_timeout(self, phase: Any, tracker: Any) -> None:
        """As above, with the fault."""
        self.seen.append(("left", tracker.create_stats().remaining))


class WrongArguments(Remembers):
    """Has another tool's signature."""

    async def on_phase_start(self, phase: Any) -> None:  # type: ignore[override]
        """As above, with the fault."""


def _subject(cls: Any) -> PhaseHookSubject:
    return PhaseHookSubject(cls)


HONEST = _subject(Remembers)

SABOTEURS = [
    ("test_the_loop_is_never_blocked", _subject(Blocks)),
    ("test_its_methods_are_asynchronous", _subject(NotAsync)),
    ("test_a_hook_may_join_late", _subject(TrustsTheStart)),
    ("test_a_phase_passes_without_an_error", _subject(SubtractsNone)),
    ("test_a_phase_may_time_out", _subject(BadTimeout)),
    ("test_the_class_fits_its_port", _subject(WrongArguments)),
]
