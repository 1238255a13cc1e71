"""Frameworks with one fault each, over a small library of this file's own."""

import types
from collections.abc import Callable
from typing import Any

from steelyard.domain.track.ports import Patches, Sink
from steelyard.testing.contracts.framework import FrameworkSubject, Told

Hook = Callable[[str, float, int], None]


class Library(types.ModuleType):
    """A training library of a few lines: a class to report with, and listeners of its own."""

    def __init__(self) -> None:
        super().__init__("toy_training")
        listeners: list[Hook] = []

        class Writer:
            def __init__(self) -> None:
                self.told = Told()

            def begin(self, rate: float) -> None:
                self.told.params["rate"] = rate

            def add(self, name: str, value: float, step: int) -> float:
                self.told.metrics.setdefault(name, []).append((step, value))
                for listener in listeners:
                    listener(name, value, step)
                return value

        self.listeners = listeners
        self.Writer = Writer

    def train(self) -> Told:
        """Use it as a script does."""
        writer = self.Writer()
        writer.begin(0.5)
        for step in range(4):
            writer.add("loss", 1.0 / (step + 1), step)
            writer.add("accuracy", step / 4, step)
        return writer.told


class Listens:
    """Conforms."""

    modules: tuple[str, ...] = ("toy_training",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch both methods."""
        patches.watch(module.Writer, "begin", before=self.begin)
        patches.watch(module.Writer, "add", after=self.add)

    def begin(self, sink: Sink, writer: Any, rate: float) -> None:
        """Tell the parameter."""
        sink.log_params({"rate": rate})

    def add(
        self, sink: Sink, result: float, writer: Any, name: str, value: float, step: int
    ) -> None:
        """Tell the value."""
        sink.log_metrics({name: result}, step)


class WaitsForNothing(Listens):
    """Says no module."""

    modules: tuple[str, ...] = ()


class CountsItself(Listens):
    """Has steps of its own, from 1."""

    def add(
        self, sink: Sink, result: float, writer: Any, name: str, value: float, step: int
    ) -> None:
        """As above, with the fault."""
        sink.log_metrics({name: result}, step + 1)


class HearsTwice(Listens):
    """Watches a method twice."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        super().install(module, patches)
        patches.watch(module.Writer, "add", after=self.add)


class Rounds(Listens):
    """Hands the library what is easier to read."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        super().install(module, patches)
        patches.watch(module.Writer, "add", arguments=self.rounded)

    def rounded(
        self, writer: Any, name: str, value: float, step: int
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with another value."""
        return (writer, name, round(value, 1), step), {}


class PatchesByHand(Listens):
    """Puts its own function there, and forgets it."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        patches.watch(module.Writer, "begin", before=self.begin)
        heard = patches.hook(self.heard)
        before = module.Writer.add

        def add(writer: Any, name: str, value: float, step: int) -> float:
            heard(name, value, step)
            return float(before(writer, name, value, step))

        module.Writer.add = add

    def heard(self, sink: Sink, name: str, value: float, step: int) -> None:
        """Tell the value."""
        sink.log_metrics({name: value}, step)


class ForgetsItsHook(PatchesByHand):
    """Leaves its listener with the library."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        patches.watch(module.Writer, "begin", before=self.begin)
        module.listeners.append(patches.hook(self.heard))


class HearsUnasked(Listens):
    """Keeps the first run it sees and tells it everything, guarded by nobody."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        kept: list[Sink] = []
        patches.watch(module.Writer, "begin", before=lambda sink, *_: kept.append(sink))

        def listener(name: str, value: float, step: int) -> None:
            if kept:
                kept[0].log_metrics({name: value}, step)

        module.listeners.append(listener)
        patches.on_undo(lambda: module.listeners.remove(listener))


class HearsMuted(Listens):
    """Wants to know even what a run's own work does."""

    def install(self, module: Any, patches: Patches) -> None:
        """As above, with the fault."""
        patches.watch(module.Writer, "begin", before=self.begin)
        patches.watch(module.Writer, "add", after=self.add, inner=True)


class OnlyMetrics(Listens):
    """Does not tell parameters."""

    def begin(self, sink: Sink, writer: Any, rate: float) -> None:
        """As above, with the fault."""


def _subject(cls: Any) -> FrameworkSubject:
    library = Library()
    touched = [library.Writer, library, library.listeners]
    return FrameworkSubject(cls, lambda: [library], library.train, lambda: touched)


HONEST = _subject(Listens)

_TOLD = "test_a_run_is_told_what_the_framework_reports"
_BEHIND = "test_nothing_is_left_behind"
SABOTEURS = [
    ("test_it_waits_for_modules_by_their_full_names", _subject(WaitsForNothing)),
    (_TOLD, _subject(CountsItself)),
    (_TOLD, _subject(HearsTwice)),
    (_TOLD, _subject(OnlyMetrics)),
    ("test_the_framework_does_the_same_with_it", _subject(Rounds)),
    (_BEHIND, _subject(PatchesByHand)),
    (_BEHIND, _subject(ForgetsItsHook)),
    ("test_installed_again_it_tells_each_value_once", _subject(HearsTwice)),
    ("test_a_run_that_fails_harms_nobody", _subject(HearsUnasked)),
    ("test_without_a_run_nothing_is_told", _subject(HearsMuted)),
]
