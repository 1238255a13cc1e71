"""The contract of a ui: quick, quiet on stdout, and gone without a trace."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.ports import Ui
from steelyard.testing.contracts.kit import Contract, require

_UPDATES = 200
_UPDATE_MS_MAX = 20.0
_TOGGLES = (("\x1b[?25l", "\x1b[?25h", "the cursor"), ("\x1b[?1049h", "\x1b[?1049l", "the screen"))


@dataclass(frozen=True)
class UiSubject:
    """A ui; `make` builds it when its class takes arguments."""

    cls: type[Ui]
    make: Callable[[], Ui] | None = None

    def new(self) -> Ui:
        """Return a new ui."""
        return self.make() if self.make is not None else self.cls()


def _progress() -> Iterator[PhaseStats]:
    """Yield a phase from before its start to after its end."""
    yield PhaseStats(phase="warmup", phase_index=0)
    for sent in range(1, _UPDATES):
        yield PhaseStats(
            phase="profiling", phase_index=1, sent=sent, completed=sent - 1, in_flight=1,
            sessions=sent, start_ns=1_000,
        )  # fmt: skip
    yield PhaseStats(
        phase="profiling", phase_index=1, sent=_UPDATES, completed=_UPDATES - 2, failed=1,
        cancelled=1, start_ns=1_000, sent_end_ns=5_000, end_ns=9_000,
    )  # fmt: skip


def _show(subject: UiSubject) -> tuple[str, str, float]:
    """Return what a whole run writes to stdout and stderr, and the mean time of an update in ms."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ui = subject.new()
        began = time.perf_counter()
        for stats in _progress():
            ui.update(stats, {"request_throughput": 12.5, "time_to_first_token": None})
        took_ms = (time.perf_counter() - began) * 1e3
        ui.close()
    return out.getvalue(), err.getvalue(), took_ms / (_UPDATES + 1)


class UiContract(Contract):
    """Inherit, and override `subject` with a `UiSubject`."""

    kind = "ui"

    def test_stdout_is_not_its_own(self, subject: UiSubject) -> None:
        """`--json` owns stdout: progress goes to stderr or nowhere."""
        out, _, _ = _show(subject)
        require(not out, f"wrote to stdout: {out[:80]!r}")

    def test_a_pipe_gets_no_control_codes(self, subject: UiSubject) -> None:
        """Where stderr is no terminal, there is nothing to move on."""
        _, err, _ = _show(subject)
        require("\x1b[" not in err, "wrote control codes to something that is no terminal")

    def test_an_update_is_quick(self, subject: UiSubject) -> None:
        """It runs on the controller's loop."""
        _, _, took_ms = _show(subject)
        require(took_ms < _UPDATE_MS_MAX, f"an update takes {took_ms:.1f} ms")

    def test_nothing_live_yet_is_fine(self, subject: UiSubject) -> None:
        """The first updates know no metric, and metrics without a value are None."""
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            ui = subject.new()
            lives: tuple[dict[str, Any], ...] = ({}, {"time_to_first_token": None})
            for live in lives:
                ui.update(PhaseStats(phase="warmup", phase_index=0), live)
            ui.close()

    def test_it_can_be_closed_at_any_time(self, subject: UiSubject) -> None:
        """Before the first update, and twice: Ctrl-C comes when it comes."""
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            ui = subject.new()
            ui.close()
            ui.close()

    def test_the_terminal_is_left_as_it_was(self, subject: UiSubject) -> None:
        """A hidden cursor is shown again, another screen is left."""
        out, err, _ = _show(subject)
        written = out + err
        for on, off, what in _TOGGLES:
            require(written.rfind(on) <= written.rfind(off), f"{what} is not given back")
