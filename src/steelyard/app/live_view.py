"""Progress of a run: the board's counters and the records manager's live figures, for the ui."""

from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.bench.messages import LiveStats, PhaseStats
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import Ui
from steelyard.runtime.board import Board, Cell, board_path
from steelyard.runtime.bus_port import BusPort

INTERVAL_S = 0.25


class LiveView:
    """Tells the ui how the run stands; counts come from shared memory, not from messages."""

    interval_s = INTERVAL_S

    def __init__(self, plan: Plan, ui: Ui) -> None:
        self._plan = plan
        self._ui = ui
        self._board = Board(board_path(Path(plan.artifact_dir)), plan.workers, create=True)
        self._rows = [self._board.row(worker) for worker in range(plan.workers)]
        self._stats: PhaseStats | None = None
        self._live: dict[str, Any] = {}
        self._notes: list[str] = []

    @property
    def begun(self) -> bool:
        """The first phase has begun."""
        return self._stats is not None

    def subscribe(self, bus: BusPort) -> None:
        """Listen for the live figures."""
        bus.subscribe(LiveStats, self._figures)

    async def _figures(self, message: LiveStats) -> None:
        self._live = msgspec.to_builtins(message)

    def phase(self, stats: PhaseStats) -> None:
        """Take a phase event's stats over."""
        self._stats = stats
        self.show()

    def note(self, text: str) -> None:
        """Have something said to the person at once."""
        self._notes.append(text)
        self.show()

    def show(self) -> None:
        """Update the ui."""
        stats = self._stats
        if stats is None:
            stats = PhaseStats(phase="starting", phase_index=-1)
            total = {}
        else:
            phase = self._plan.phases[stats.phase_index]
            total = {"request_count": phase.request_count, "duration_s": phase.duration_s}
        if stats.phase_index >= 0 and stats.end_ns is None:
            stats = self._counted(stats)
        notes, self._notes = self._notes, []
        self._ui.update(stats, {**self._live, **total, "notes": notes})

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
