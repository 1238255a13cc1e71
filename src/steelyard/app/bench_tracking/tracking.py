"""A benchmark that is tracked, as its controller sees it: begun, told of, ended, waited for."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.bench_tracking.link import Link
from steelyard.app.bench_tracking.messages import (
    Done,
    Ended,
    Live,
    Mirrored,
    Opened,
    Opening,
    Refused,
)
from steelyard.app.bench_tracking.options import backends_of, check_track
from steelyard.app.composition import PLUGIN_DIRS_VARIABLE, plugin_dirs
from steelyard.app.track.mirroring import FLUSH_S
from steelyard.domain.bench.messages import PhaseStats, ReportBuilt
from steelyard.domain.bench.plan import Plan, TrackPlan
from steelyard.domain.bench.redact import redacted_text
from steelyard.kernel.errors import PluginError, SteelyardError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.track.bench_runs import plan_name, plan_params
from steelyard.runtime.track.layout import Store

OPEN_S = 10.0
"""How long the load waits for the run's journal to be begun; it is on this machine's own disk."""

DONE_S = FLUSH_S + 10.0
"""How long the end waits for the last word's answer: trackers' time, and that of copying files."""

LOG = "logs/tracking.log"
PLOTS = ("plots", "report.html")
_COUNTS = ("sent", "completed", "failed", "cancelled", "in_flight", "sessions", "lost")
_FIGURES = (
    "records", "request_rate", "output_token_rate", "ttft_p50_ms", "ttft_p99_ms",
    "latency_p50_ms", "latency_p99_ms",
)  # fmt: skip


@dataclass(frozen=True)
class Tracked:
    """What became of a benchmark's tracked run.

    Attributes:
        run_id: of the run in the store `directory`.
        told: live events that were made; of these, `dropped` gave way to newer ones in a full
            queue, `lost` went down with the tracking process, and the rest is in the run.
        mirrors: how far each tracker was when the benchmark let go; `steelyard track sync` brings
            the rest.
        problems: what is missing, one line each.
    """

    run_id: str
    directory: str
    told: int
    dropped: int
    lost: int
    mirrors: dict[str, Mirrored] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class LiveFeed:
    """A `Ui` that shows progress to the tracking process."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = SystemClock()
        self._last: tuple[str, dict[str, float]] | None = None

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Tell how the phase stands; before the first and after the last, there is nothing new."""
        if stats.phase_index < 0:
            return
        values = live_values(stats, live)
        if stats.end_ns is not None and self._last == (stats.phase, values):
            return
        self._last = stats.phase, values
        self._link.tell(Live(at_ns=self._clock.mono_ns(), phase=stats.phase, values=values))

    def close(self) -> None:
        """Nothing is held here."""


def live_values(stats: PhaseStats, live: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of live progress by name; those that nobody knows yet are left out."""
    values = {name: float(getattr(stats, name)) for name in _COUNTS}
    for name in _FIGURES:
        if live.get(name) is not None:
            values[name] = float(live[name])
    for kind, count in live.get("errors", {}).items():
        values[f"errors/{kind}"] = float(count)
    return values


class Tracking:
    """The run of one benchmark. Made by `tracking_of`.

    Args:
        plan: what is run; its `track` says who is told.
        track: the same.
        environ: the environment, for references in options.

    Raises:
        UsageError: the run can't be begun.
        PluginError: its process does not come up.
        FileError: the benchmark's directory can't be written.
    """

    def __init__(self, plan: Plan, track: TrackPlan, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._track = track
        self._store = Store.of(track.directory or None, environ)
        given = tuple(plan.options.get("plugin_dirs", ()))
        dirs = os.pathsep.join(plugin_dirs(environ, given))
        self._environ = {**environ, PLUGIN_DIRS_VARIABLE: dirs}
        self.run_id = _free_id(self._store, plan.run_id)
        self._ended: Ended | None = None
        self._tracked: Tracked | None = None
        # Before its process is started, which nobody would end if this can't be written.
        self._store.note_tracked(Path(plan.artifact_dir), self.run_id)
        self._link = self._start()
        self.feed = LiveFeed(self._link)

    @property
    def pid(self) -> int:
        """The process that tracks."""
        return self._link.pid

    def _start(self) -> Link:
        plain: dict[str, Any] = msgspec.to_builtins(self._plan)
        opening = Opening(
            run_id=self.run_id,
            name=self._track.name or plan_name(plain),
            project=self._track.project,
            tags=self._track.tags,
            params=plan_params(plain),
            directory=str(self._store.root),
            backends=backends_of(self._track),
            routing=list(self._track.routing),
        )
        log = Path(self._plan.artifact_dir) / LOG
        link = Link(opening, log, self._environ)
        for answer in link.answers(OPEN_S):
            if isinstance(answer, Opened):
                return link
            if isinstance(answer, Refused):
                link.close()
                raise UsageError(f"The run can't be tracked: {answer.reason}")
        if link.has_ended:
            link.close()
            raise PluginError("The process that tracks the run ended", next_step=f"See {log}.")
        return link  # a busy machine: what is told waits until it is up

    def end(self, status: str, report: ReportBuilt | None = None, error: str = "") -> None:
        """Tell how the benchmark ended; a second call does nothing."""
        if self._ended is not None:
            return
        link = self._link
        summary = {} if report is None else report.summary
        self._ended = Ended(
            status=status,
            error=redacted_text(error),
            summary={name: summary[name] for name in ("metrics", "verdict") if name in summary},
            files=self._files(report),
            counts={"dropped": link.dropped} if link.dropped else {},
        )
        link.end(self._ended)

    def finish(self) -> Tracked:
        """Wait, within bounds, until the run is whole and trackers had their time.

        Where the tracking process died, another one goes on with the run and tells the results.
        """
        if self._tracked is None:
            self.end("failed")
            self._tracked = self._finish()
        return self._tracked

    def _finish(self) -> Tracked:
        first = last = self._link
        done = _done(last)
        problem = "does not answer"
        if done is None and last.has_ended and self._ended is not None:
            try:
                last = self._start()
                last.end(self._ended)
                done = _done(last)
                problem = "died twice"
            except SteelyardError as error:
                problem = f"died, and no other one comes up: {error}"
        for link in {first, last}:
            link.close()
        if done is None:
            problems = [f"the process that tracks the run {problem}; see {LOG}"]
            done = Done(mirrors={}, problems=problems)
        return Tracked(
            run_id=self.run_id,
            directory=str(self._store.root),
            told=first.told,
            dropped=first.dropped,
            lost=first.told - first.dropped - first.heard,
            mirrors=done.mirrors,
            problems=tuple(done.problems),
        )

    def _files(self, report: ReportBuilt | None) -> dict[str, str]:
        directory = Path(self._plan.artifact_dir)
        written = [] if report is None else [Path(f) for fs in report.files.values() for f in fs]
        for name in PLOTS:
            path = directory / name
            written += sorted(path.rglob("*")) if path.is_dir() else [path]
        found = {}
        for path in written:
            if path.is_file():
                is_inside = path.is_relative_to(directory)
                name = path.relative_to(directory).as_posix() if is_inside else path.name
                if any(fnmatchcase(name, pattern) for pattern in self._track.artifacts):
                    found[name] = str(path)
        return found


def _done(link: Link) -> Done | None:
    return next((a for a in link.answers(DONE_S) if isinstance(a, Done)), None)


def _free_id(store: Store, run_id: str) -> str:
    """Return an id that no run of the store has: a plan may be run again."""
    chosen, number = run_id, 1
    while store.place(chosen).path.exists():
        number += 1
        chosen = f"{run_id}-{number}"
    return chosen


@contextmanager
def tracking_of(
    plan: Plan, track: TrackPlan, host: PluginHost, environ: Mapping[str, str] = os.environ
) -> Iterator[Tracking]:
    """Yield the tracking of a run; a block that raises makes it a failed one.

    Raises:
        UsageError: the run can't be begun, or an option holds a secret.
        PluginError: a backend can't be used, or the process that tracks does not come up.
        ConfigError: options of a backend are wrong.
    """
    check_track(track, host, environ)
    tracking = Tracking(plan, track, environ)
    try:
        yield tracking
    except BaseException as error:
        tracking.end("failed", error=f"{type(error).__name__}: {error}")
        tracking.finish()
        raise
