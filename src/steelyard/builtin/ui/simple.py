"""One line of progress on stderr: rewritten on a terminal, every few seconds in a log."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.progress import progress_line
from steelyard.kernel.units import NS_PER_S

LOG_INTERVAL_S = 5.0
LOG_INTERVAL_LATER_S = 30.0
LOG_LATER_AFTER_S = 60.0
"""A log of a long run is read from its end: after a minute of a phase it gets fewer lines."""


class SimpleUi:
    """Shows each phase's counts, pace, latency so far, errors and time left.

    Args:
        stream: where to; stderr when None, so that stdout stays the result's.
        clock_ns: CLOCK_MONOTONIC in nanoseconds.
    """

    def __init__(
        self, stream: TextIO | None = None, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock_ns = clock_ns
        self._terminal = self._stream.isatty()
        self._phase: int | None = None
        self._phase_ns = 0
        self._printed_ns = 0
        self._line = ""
        self._shown = ""
        self._doing = ""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Show where the phase stands; a log gets its first, its last, and some between.

        `live` as in `progress_line`; its `notes` are sentences to be said at once, and `doing` is
        what is done when the phases are over, which a log hears of when it takes long.
        """
        now_ns = self._clock_ns()
        if live.get("doing"):
            self._show_doing(live, now_ns)
            return
        new_phase = stats.phase_index != self._phase
        if new_phase:
            self._finish_line()
            self._phase, self._phase_ns = stats.phase_index, now_ns
        for note in live.get("notes", ()):
            self._say(note)
        width = shutil.get_terminal_size().columns - 1 if self._terminal else None
        self._line = progress_line(stats, live, stats.end_ns or now_ns, width)
        later = now_ns - self._phase_ns >= LOG_LATER_AFTER_S * NS_PER_S
        interval_s = LOG_INTERVAL_LATER_S if later else LOG_INTERVAL_S
        due = now_ns - self._printed_ns >= interval_s * NS_PER_S
        if self._terminal:
            self._rewrite()
        elif new_phase or due or stats.end_ns is not None:
            self._print(now_ns)

    def close(self) -> None:
        """End the line, so that the next output begins on its own."""
        if self._doing and self._terminal:
            self._stream.write("\r\x1b[K")  # of no interest once it is done
            self._stream.flush()
            self._line = self._shown = ""
        self._finish_line()

    def _show_doing(self, live: Mapping[str, Any], now_ns: int) -> None:
        if not self._doing:
            self._finish_line()
            self._printed_ns = now_ns
        for note in live.get("notes", ()):
            self._say(note)
        self._doing = str(live["doing"])
        width = shutil.get_terminal_size().columns - 1 if self._terminal else None
        if self._terminal:
            self._line = self._doing[:width]
            self._rewrite()
        elif now_ns - self._printed_ns >= LOG_INTERVAL_S * NS_PER_S:
            self._line = self._doing
            self._print(now_ns)

    def _rewrite(self) -> None:
        # Written over and then cleared behind: a line that is cleared first flickers.
        self._shown = self._line
        self._stream.write(f"\r{self._line}\x1b[K")
        self._stream.flush()

    def _print(self, now_ns: int) -> None:
        if self._line != self._shown:
            self._stream.write(self._line + "\n")
            self._stream.flush()
        self._shown = self._line
        self._printed_ns = now_ns

    def _say(self, note: str) -> None:
        """Print a line of its own; on a terminal, over the progress line, which comes back."""
        # Errors of plugins and of other machines are said here too.
        note = "".join(c if c.isprintable() else "?" for c in " ".join(note.split("\n")))
        self._stream.write(f"\r\x1b[K{note}\n" if self._terminal else f"{note}\n")
        self._stream.flush()

    def _finish_line(self) -> None:
        if self._terminal and self._shown:
            self._stream.write("\n")
            self._stream.flush()
        elif self._line and self._line != self._shown:
            self._stream.write(self._line + "\n")
            self._stream.flush()
        self._line = self._shown = ""
