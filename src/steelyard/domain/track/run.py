"""A run: its events folded."""

from enum import StrEnum
from typing import Any

import msgspec

from steelyard.domain.track.events import (
    ArtifactLogged,
    Fact,
    Failure,
    MetricsLogged,
    ParamsLogged,
    RunEnded,
    RunStarted,
    TagsSet,
)
from steelyard.domain.track.values import mark_of


class Status(StrEnum):
    """How a run stands. `killed`: its journal just ends, and nobody writes it any more."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an artifact: a name, and the content it had at a time."""

    name: str
    sha256: str
    size: int
    wall_ns: int
    version: int = 1


class Series(msgspec.Struct):
    """What is known of a metric without its points.

    Attributes:
        last: the value at the highest step; the latest logged of several.
        low, high: over finite values; None when there is none.
        non_finite: how many values were NaN or infinite.
    """

    count: int = 0
    last: float = 0.0
    last_step: int = -1
    low: float | None = None
    high: float | None = None
    non_finite: int = 0

    def add(self, step: int, value: float) -> None:
        """Take a value in."""
        self.count += 1
        if step >= self.last_step:
            self.last, self.last_step = value, step
        if mark_of(value):
            self.non_finite += 1
            return
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)


class Run(msgspec.Struct, kw_only=True):
    """A run as its events tell it so far.

    Attributes:
        kind: `track`, or `bench` for a benchmark.
        ended_ns: None while it runs, and where it was killed; `last_ns` is its last sign of life.
        unwritten: what could not be journalled.
    """

    run_id: str
    kind: str = "track"
    name: str = ""
    project: str = ""
    status: str = Status.RUNNING
    started_ns: int = 0
    ended_ns: int | None = None
    last_ns: int = 0
    host_id: str = ""
    command: str = ""
    failure: Failure | None = None
    unwritten: int = 0
    tags: dict[str, str] = {}
    params: dict[str, Any] = {}
    metrics: dict[str, Series] = {}
    artifacts: list[Kept] = []


class RunFold:
    """Folds the facts of one run, in the order of its journal.

    Args:
        run_id: the run.
        with_metrics: False leaves metrics to who wants each point.
    """

    def __init__(self, run_id: str, *, with_metrics: bool = True) -> None:
        self.run = Run(run_id=run_id)
        self._with_metrics = with_metrics
        self._versions: dict[str, int] = {}

    def apply(self, fact: Fact, wall_ns: int) -> None:
        """Take a fact in."""
        run = self.run
        run.last_ns = max(run.last_ns, wall_ns)
        if isinstance(fact, MetricsLogged):
            if self._with_metrics:
                for name, value in fact.values.items():
                    run.metrics.setdefault(name, Series()).add(fact.step, value)
        elif isinstance(fact, ParamsLogged):
            run.params.update(fact.values)
        elif isinstance(fact, TagsSet):
            run.tags.update(fact.values)
        elif isinstance(fact, ArtifactLogged):
            self._keep(fact, wall_ns)
        elif isinstance(fact, RunStarted):
            self._start(fact, wall_ns)
        else:
            self._end(fact, wall_ns)

    def _start(self, fact: RunStarted, wall_ns: int) -> None:
        run = self.run
        run.started_ns = run.started_ns or wall_ns
        run.name, run.project, run.command = fact.name, fact.project, fact.command
        run.tags.update(fact.tags)
        run.status, run.ended_ns, run.failure = Status.RUNNING, None, None

    def _end(self, fact: RunEnded, wall_ns: int) -> None:
        run = self.run
        run.status, run.ended_ns, run.failure = fact.status, wall_ns, fact.failure
        run.unwritten += fact.unwritten

    def _keep(self, fact: ArtifactLogged, wall_ns: int) -> None:
        version = self._versions[fact.name] = self._versions.get(fact.name, 0) + 1
        self.run.artifacts.append(
            Kept(
                name=fact.name,
                sha256=fact.sha256,
                size=fact.size,
                wall_ns=wall_ns,
                version=version,
            )
        )


def settle(run: Run, *, has_writer: bool) -> Run:
    """Return the run with the status that its journal alone can't tell: running or killed."""
    if run.status == Status.RUNNING and not has_writer:
        run.status = Status.KILLED
    return run
