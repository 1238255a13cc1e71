"""Uis with one fault each, over one line per phase."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.testing.contracts.ui import UiSubject


class Lines:
    """Conforms."""

    def __init__(self) -> None:
        self.phase = ""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Write a line when the phase changes."""
        if stats.phase != self.phase:
            self.phase = stats.phase
            sys.stderr.write(f"{stats.phase}\n")

    def close(self) -> None:
        """Flush."""
        sys.stderr.flush()


class OnStdout(Lines):
    """Mixes with `--json`."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """As above, with the fault."""
        sys.stdout.write(".")


class HidesTheCursor(Lines):
    """Takes the cursor and keeps it."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """As above, with the fault."""
        sys.stderr.write("\x1b[?25l")


class Slow(Lines):
    """Sleeps between frames."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """As above, with the fault."""
        time.sleep(0.025)


class NeedsMetrics(Lines):
    """Formats metrics that are not there yet."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """As above, with the fault."""
        sys.stderr.write(f"{live['request_throughput']:.1f}\n")


class ClosesOnce(Lines):
    """Must have been updated to be closed."""

    def close(self) -> None:
        """As above, with the fault."""
        if not self.phase:
            message = "nothing was shown"
            raise RuntimeError(message)


def _subject(cls: Any) -> UiSubject:
    return UiSubject(cls)


HONEST = _subject(Lines)

SABOTEURS = [
    ("test_stdout_is_not_its_own", _subject(OnStdout)),
    ("test_the_terminal_is_left_as_it_was", _subject(HidesTheCursor)),
    ("test_a_pipe_gets_no_control_codes", _subject(HidesTheCursor)),
    ("test_an_update_is_quick", _subject(Slow)),
    ("test_nothing_live_yet_is_fine", _subject(NeedsMetrics)),
    ("test_it_can_be_closed_at_any_time", _subject(ClosesOnce)),
]
