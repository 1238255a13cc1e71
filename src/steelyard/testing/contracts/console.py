"""The contract of a console: the verdict and every metric, at any width, and silence."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console as RichConsole

from steelyard.domain.bench.ports import Console
from steelyard.testing.contracts.kit import Contract, require
from steelyard.testing.contracts.sample_run import SampleRun

_WIDTHS = (40, 80, 200)


@dataclass(frozen=True)
class ConsoleSubject:
    """A console.

    Attributes:
        cls: the class under test.
        make: builds it when its class takes arguments.
        shows: texts that must be visible for the sample run, at 200 columns.
    """

    cls: type[Console]
    make: Callable[[], Console] | None = None
    shows: tuple[str, ...] = ("Time to First Token", "Request Latency", "24.5")

    def lines(self, width: int, *, failed: bool = False) -> list[str]:
        """Return what a terminal of `width` columns shows of the sample run."""
        console = self.make() if self.make is not None else self.cls()
        terminal = RichConsole(width=width, file=io.StringIO(), color_system=None)
        with terminal.capture() as capture:
            terminal.print(console.render(SampleRun("run", failed=failed)), crop=False)
        return capture.get().splitlines()


class ConsoleContract(Contract):
    """Inherit, and override `subject` with a `ConsoleSubject`."""

    kind = "console"

    def test_the_metrics_are_shown(self, subject: ConsoleSubject) -> None:
        """Names and numbers are readable at full width."""
        text = "\n".join(subject.lines(200))
        for wanted in subject.shows:
            require(wanted in text, f"{wanted!r} is not shown:\n{text}")

    def test_the_verdict_is_shown(self, subject: ConsoleSubject) -> None:
        """Whether to believe the numbers is said beside them, at every width."""
        for width in _WIDTHS:
            good = "\n".join(subject.lines(width))
            require("VALID" in good, f"no verdict at {width} columns:\n{good}")
            bad = "\n".join(subject.lines(width, failed=True))
            require("INVALID" in bad, f"an INVALID run looks fine at {width} columns:\n{bad}")

    def test_no_line_is_wider_than_the_terminal(self, subject: ConsoleSubject) -> None:
        """Nothing wraps around."""
        for width in _WIDTHS:
            widest = max((len(line) for line in subject.lines(width)), default=0)
            require(widest <= width, f"a line of {widest} columns on a terminal of {width}")

    def test_it_prints_nothing_itself(self, subject: ConsoleSubject) -> None:
        """`render` returns; the caller decides where it goes (`--json` owns stdout)."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            subject.lines(80)
        require(not out.getvalue(), f"printed {out.getvalue()[:80]!r}")
        require(not err.getvalue(), f"printed to stderr {err.getvalue()[:80]!r}")
