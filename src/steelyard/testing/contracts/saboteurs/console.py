"""Consoles with one fault each, over a plain list."""

from typing import Any

from rich.console import Group
from rich.segment import Segment, Segments
from rich.text import Text

from steelyard.domain.bench.ports import RunView
from steelyard.testing.contracts.console import ConsoleSubject


class PlainList:
    """Conforms."""

    def lines(self, view: RunView) -> list[str]:
        """Return a line per metric, then the verdict."""
        metrics = view.summary.metrics.values()
        return [*(f"{m.header} {m.avg} {m.unit}" for m in metrics), view.summary.verdict.status]

    def render(self, view: RunView) -> Any:
        """Return one text."""
        return Text("\n".join(self.lines(view)))


class HidesTheVerdict(PlainList):
    """Shows numbers alone."""

    def lines(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        return super().lines(view)[:-1]


class AlwaysValid(PlainList):
    """Calls every run valid."""

    def lines(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        return [*super().lines(view)[:-1], "VALID"]


class PrintsItself(PlainList):
    """Prints as well as returning."""

    def render(self, view: RunView) -> Any:
        """As above, with the fault."""
        print(len(self.lines(view)), "metrics")  # noqa: T201  the fault
        return super().render(view)


class FixedWidth(PlainList):
    """Draws a rule of 100 columns on any terminal."""

    def render(self, view: RunView) -> Any:
        """As above, with the fault."""
        rule: Any = Segments([Segment("=" * 100)])
        return Group(super().render(view), rule)


class NeedsAnAnswer(PlainList):
    """Can't show a run in which all failed."""

    def lines(self, view: RunView) -> list[str]:
        """As above, with the fault."""
        first = view.summary.metrics["time_to_first_token"]
        return [*super().lines(view), f"{first.p99}"]


def _subject(cls: Any) -> ConsoleSubject:
    return ConsoleSubject(cls)


HONEST = _subject(PlainList)

SABOTEURS = [
    ("test_the_verdict_is_shown", _subject(HidesTheVerdict)),
    ("test_the_verdict_is_shown", _subject(AlwaysValid)),
    ("test_it_prints_nothing_itself", _subject(PrintsItself)),
    ("test_no_line_is_wider_than_the_terminal", _subject(FixedWidth)),
    ("test_the_verdict_is_shown", _subject(NeedsAnAnswer)),
]
