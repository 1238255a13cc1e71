"""Backends with one fault each, over a tracker in memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.testing.contracts.backend import BackendSubject, ReadBack


@dataclass
class Tracker:
    """What the backends below keep their runs in."""

    runs: dict[str, ReadBack] = field(default_factory=dict)


_TRACKERS: dict[Path, Tracker] = {}


def tracker_in(directory: Path) -> Tracker:
    """Return the tracker of a directory."""
    return _TRACKERS.setdefault(directory, Tracker())


class Keeper:
    """Conforms."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.run = ReadBack()

    def open(self, run: RunFacts) -> str:
        """Go on with the run, or begin it."""
        reference = run.reference or run.run_id
        self.run = self.tracker.runs.setdefault(reference, ReadBack(tags=dict(run.tags)))
        return reference

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Keep items."""
        for item in items:
            self.keep(item)
        return Delivery(len(items))

    def keep(self, item: Logged) -> None:
        """Keep one item."""
        if isinstance(item, Metric):
            self.run.metrics.setdefault(item.name, []).append((item.step, item.value))
        elif isinstance(item, Params):
            self.run.params.update(item.values)
        elif isinstance(item, Artifact):
            self.run.artifacts[item.name] = Path(item.path).read_bytes()
        else:
            self.run.tags.update(item.values)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self, end: RunEnded | None) -> None:
        """Keep how it ended."""
        if end is not None:
            self.run.status = end.status


class Hangs(Keeper):
    """Waits for a server that never answers."""

    def log(self, items: Sequence[Logged]) -> Delivery:
        """As above, with the fault."""
        time.sleep(2.0)
        return super().log(items)


class Raises(Keeper):
    """Raises on what it did not expect."""

    def log(self, items: Sequence[Logged]) -> Delivery:
        """As above, with the fault."""
        if any(isinstance(item, Metric) and item.step > 3 for item in items):
            message = "connection reset"
            raise ConnectionError(message)
        return super().log(items)


class Loses(Keeper):
    """Says that it took what it threw away."""

    def keep(self, item: Logged) -> None:
        """As above, with the fault."""
        if not (isinstance(item, Metric) and item.step % 97 == 96):
            super().keep(item)


class Reorders(Keeper):
    """Sends a batch by several threads."""

    def log(self, items: Sequence[Logged]) -> Delivery:
        """As above, with the fault."""
        return super().log(list(reversed(items)))


class Doubles(Keeper):
    """Sends the last item of a batch again with the next."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(tracker)
        self.last: list[Logged] = []

    def log(self, items: Sequence[Logged]) -> Delivery:
        """As above, with the fault."""
        super().log([*self.last, *items])
        self.last = list(items[-1:])
        return Delivery(len(items))


class StepZeroIsNone(Keeper):
    """Takes step 0 for no step."""

    def keep(self, item: Logged) -> None:
        """As above, with the fault."""
        if isinstance(item, Metric):
            self.run.metrics.setdefault(item.name, []).append((item.step or 1, item.value))
        else:
            super().keep(item)


class NanIsNothing(Keeper):
    """Makes 0 of NaN, which no chart shows."""

    def keep(self, item: Logged) -> None:
        """As above, with the fault."""
        if isinstance(item, Metric) and item.value != item.value:
            self.run.metrics.setdefault(item.name, []).append((item.step, 0.0))
        else:
            super().keep(item)


class Overcounts(Keeper):
    """Counts more than it was given."""

    def log(self, items: Sequence[Logged]) -> Delivery:
        """As above, with the fault."""
        return Delivery(super().log(items).taken + 1)


class TextMode(Keeper):
    """Reads artifacts as text."""

    def keep(self, item: Logged) -> None:
        """As above, with the fault."""
        super().keep(item)
        if isinstance(item, Artifact):
            data = self.run.artifacts[item.name]
            self.run.artifacts[item.name] = data.replace(b"\r\n", b"\n")


class FlatNames(Keeper):
    """Drops parameters whose names have a dot."""

    def keep(self, item: Logged) -> None:
        """As above, with the fault."""
        if isinstance(item, Params):
            self.run.params.update({k: v for k, v in item.values.items() if "." not in k})
        else:
            super().keep(item)


class AlwaysFine(Keeper):
    """Calls every run finished."""

    def close(self, end: RunEnded | None) -> None:
        """As above, with the fault."""
        if end is not None:
            self.run.status = "finished"


class StartsAnew(Keeper):
    """Makes a new run whenever it is opened."""

    def open(self, run: RunFacts) -> str:
        """As above, with the fault."""
        reference = f"{run.run_id}-{len(self.tracker.runs)}"
        self.run = self.tracker.runs.setdefault(reference, ReadBack())
        return reference


class ClosesOnlyWhatIsOpen(Keeper):
    """Must have been opened to be closed."""

    def close(self, end: RunEnded | None) -> None:
        """As above, with the fault."""
        if not self.tracker.runs or self.run not in self.tracker.runs.values():
            message = "no run is open"
            raise RuntimeError(message)
        super().close(end)


def _read(directory: Path) -> ReadBack:
    runs = tracker_in(directory).runs
    run = next(iter(runs.values()))
    run.runs = len(runs)
    return run


def _subject(cls: Any, seconds_max: float = 20.0) -> BackendSubject:
    make: Callable[[Path], Any] = lambda directory: cls(tracker_in(directory))  # noqa: E731  typed
    return BackendSubject(cls, make, _read, seconds_max=seconds_max)


HONEST = _subject(Keeper)

_METRICS = "test_metrics_come_back_whole_and_in_order"
SABOTEURS = [
    (_METRICS, _subject(Hangs, seconds_max=0.2)),
    (_METRICS, _subject(Raises)),
    (_METRICS, _subject(Loses)),
    (_METRICS, _subject(Reorders)),
    (_METRICS, _subject(Doubles)),
    (_METRICS, _subject(StepZeroIsNone)),
    (_METRICS, _subject(Overcounts)),
    ("test_nan_and_infinities_are_kept_or_refused_by_name", _subject(NanIsNothing)),
    ("test_artifacts_come_back_byte_for_byte", _subject(TextMode)),
    ("test_parameters_and_tags_come_back", _subject(FlatNames)),
    ("test_the_end_is_told", _subject(AlwaysFine)),
    ("test_another_process_goes_on_with_the_run", _subject(StartsAnew)),
    ("test_a_run_without_anything_is_closed_too", _subject(ClosesOnlyWhatIsOpen)),
]
