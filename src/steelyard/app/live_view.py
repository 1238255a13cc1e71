"""Progress of a run: the board's counters and the records manager's live figures, for the ui."""

import time
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.bench.messages import LiveStats, PhaseStats, ReportProgress
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import Ui
from steelyard.domain.bench.rate_progress import RateProgress
from steelyard.domain.bench.warp import WarpedArrival
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.board import Board, Cell, board_path
from steelyard.runtime.bus_port import BusPort
from steelyard.runtime.phase_load import arrival_of
from steelyard.runtime.plugin_host import PluginHost

INTERVAL_S = 0.5
"""Twice a second: as often as figures come, and nothing that a load would notice."""


class LiveView:
    """Tells the ui how the run stands; counts come from shared memory, not from messages.

    Args:
        plan: what is run.
        ui: shows it.
        feed: told the same, where somebody else wants to know; closed by who made it.
        host: has the plugins by which rates change; without it a phase's highest rate is shown.
    """

    interval_s = INTERVAL_S

    def __init__(
        self, plan: Plan, ui: Ui, feed: Ui | None = None, host: PluginHost | None = None
    ) -> None:
        self._plan = plan
        self._ui = ui
        self._feed = feed
        self._board = Board(board_path(Path(plan.artifact_dir)), plan.workers, create=True)
        self._rows = [self._board.row(worker) for worker in range(plan.workers)]
        self._host = host
        self._rates: RateProgress | None = None
        self._stats: PhaseStats | None = None
        self._live: dict[str, Any] = {}
        self._notes: list[str] = []
        self._stopping = ""
        self._doing = ""

    @property
    def ui(self) -> Ui:
        """Who shows it."""
        return self._ui

    @property
    def begun(self) -> bool:
        """The first phase has begun."""
        return self._stats is not None

    def subscribe(self, bus: BusPort) -> None:
        """Listen for the live figures."""
        bus.subscribe(LiveStats, self._figures)
        bus.subscribe(ReportProgress, self._report)

    async def _figures(self, message: LiveStats) -> None:
        self._live = msgspec.to_builtins(message)

    async def _report(self, message: ReportProgress) -> None:
        self.doing(message.doing)

    def doing(self, what: str) -> None:
        """Say what is done after the last phase."""
        self._doing = what
        self.show()

    def phase(self, stats: PhaseStats) -> None:
        """Take a phase event's stats over."""
        if self._stats is None or self._stats.phase_index != stats.phase_index:
            self._rates = self._rates_of(stats.phase_index)
        self._stats = stats
        self.show()

    def note(self, text: str) -> None:
        """Have something said to the person at once."""
        self._notes.append(text)
        self.show()

    def stopping(self, *, drain: bool) -> None:
        """Say that a person stops the run: requests in flight may finish, or are cancelled."""
        self._stopping = "drain" if drain else "cancel"
        self.note(
            "stopping: requests in flight may finish (Ctrl-C again to cancel them)"
            if drain
            else "stopping: requests in flight are cancelled"
        )

    def show(self) -> None:
        """Update the ui."""
        stats = self._stats or PhaseStats(phase="starting", phase_index=-1)
        known: dict[str, Any] = {"notes": self._notes, "stopping": self._stopping}
        if self._doing:
            known["doing"] = self._doing
        self._notes = []
        if stats.phase_index >= 0:
            known |= self._plan_of(stats.phase_index)
            # Figures of the phase before would pass for this one's until its first come.
            if self._live.get("phase") == stats.phase_index:
                known |= self._live
            if stats.end_ns is None:
                stats = self._counted(stats)
            known |= self._rates_now(stats)
        self._ui.update(stats, known)
        if self._feed is not None:
            self._feed.update(stats, known)

    def _plan_of(self, phase_index: int) -> dict[str, Any]:
        phase = self._plan.phases[phase_index]
        return {
            "phases": len(self._plan.phases),
            "request_count": phase.request_count,
            "session_count": phase.session_count,
            "duration_s": phase.duration_s,
            "grace_s": phase.grace_s,
            "asked_rate": phase.request_rate,
            "concurrency": phase.concurrency,
        }

    def _rates_of(self, phase_index: int) -> RateProgress | None:
        """Return what tells how a rate is kept that changes; None for any other load."""
        phase = self._plan.phases[phase_index]
        if self._host is None or phase.request_rate is None:
            return None
        arrival = arrival_of(self._host, self._plan, phase_index)
        if not isinstance(arrival, WarpedArrival):
            return None
        return RateProgress(arrival, phase.request_rate, phase.request_count)

    def _rates_now(self, stats: PhaseStats) -> dict[str, Any]:
        if self._rates is None or stats.start_ns is None:
            return {}
        until_ns = stats.sent_end_ns or time.monotonic_ns()
        elapsed_s = (until_ns - stats.start_ns) / NS_PER_S
        return self._rates.at(elapsed_s, stats.sent, over=stats.sent_end_ns is not None)

    def _counted(self, stats: PhaseStats) -> PhaseStats:
        rows = [row for row in self._rows if row[Cell.PHASE] == stats.phase_index]

        def total(cell: Cell) -> int:
            return sum(row[cell] for row in rows)

        return msgspec.structs.replace(
            stats,
            sent=total(Cell.SENT),
            completed=total(Cell.COMPLETED),
            failed=total(Cell.FAILED),
            cancelled=total(Cell.CANCELLED),
            in_flight=total(Cell.IN_FLIGHT),
        )

    def close(self) -> None:
        """Leave the terminal as it was, and remove the board."""
        self._ui.close()
        self._board.close()
        board_path(Path(self._plan.artifact_dir)).unlink(missing_ok=True)
