"""An experiment: one run of a script, from its first line to its last."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from steelyard.app.track import active
from steelyard.app.track.artifacts import fetch_artifact, files_in
from steelyard.app.track.attachments import attach, prepare_automagic, prepare_collectors
from steelyard.app.track.decorating import each_call
from steelyard.app.track.failures import failure_of, is_success
from steelyard.app.track.planning import planned
from steelyard.app.track.secrecy import Secrecy
from steelyard.domain.track.events import (
    ArtifactLogged,
    ParamsLogged,
    RunEnded,
    RunStarted,
    TagsSet,
)
from steelyard.domain.track.names import check_artifact_name, check_name, check_run_id
from steelyard.domain.track.params import flatten_params
from steelyard.domain.track.run import Kept, Run, Status
from steelyard.domain.track.steps import Steps, one_step, to_step
from steelyard.domain.track.values import to_scalar
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import UsageError
from steelyard.kernel.ids import make_run_id
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.reader import read_run
from steelyard.runtime.track.writer import RunWriter

if TYPE_CHECKING:
    from steelyard.app.track.mirroring import Mirroring
    from steelyard.domain.track.courier import Place

DEFAULT_PROJECT = "default"
_F = TypeVar("_F", bound=Callable[..., Any])


class Experiment:
    """One tracked run: a context manager, also of `async with`, and a decorator.

    As a decorator it makes a run of each call. Several may run at once, and be called from any
    thread, and from children forked while they run.

    Args:
        name: what is tried; many runs may share it.
        project: what it belongs to.
        backend: where it is mirrored to: a name, several, a mapping of names to options, or an
            object of one's own; see `backends.backend_specs`. The journal is always kept.
        tags: texts by name.
        params: logged at once, as by `log_params`.
        directory: the store; `STEELYARD_TRACK_DIR` or `.steelyard` without it.
        run_id: the run to go on with, or the id of a new one.
        routing: rules on which backend is told what; see `Rule`.
        collectors, automagic: what is logged by itself; see `prepare_collectors` and
            `prepare_automagic` of `app.track.attachments`.
        not_secret: names or patterns of what only looks like secrets.
        clock: tells the run's times; another than the system's for what happened earlier.

    Raises:
        UsageError: an argument can't be used.
    """

    def __init__(  # noqa: PLR0913  one keyword for each thing that a run can be told
        self,
        name: str,
        project: str = DEFAULT_PROJECT,
        backend: Any = None,
        *,
        tags: Mapping[str, Any] | None = None,
        params: Any = None,
        directory: str | Path | None = None,
        run_id: str | None = None,
        routing: Iterable[Any] | None = None,
        collectors: Any = None,
        automagic: Any = None,
        not_secret: Iterable[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self.name = check_name(name, "run")
        self.project = check_name(project, "project")
        self.run_id = check_run_id(run_id) if run_id is not None else ""
        self.store = Store.of(directory)
        self._arguments: dict[str, Any] = {
            "backend": backend, "tags": tags, "params": params, "directory": directory,
            "routing": routing, "collectors": collectors, "automagic": automagic,
            "not_secret": not_secret, "clock": clock,
        }  # fmt: skip
        self._secrecy = Secrecy(not_secret)
        self._tags = self._secrecy.tags(tags)
        self._steps = Steps()
        self._writer: RunWriter | None = None
        self._mirroring: Mirroring | None = None
        self._has_ended = False
        self._closers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        """Name, project, id and how it stands."""
        how = "running" if self.is_running else "not running"
        run = self.run_id or "not started"
        return f"<Experiment {self.name!r} of {self.project!r}, {run}, {how}>"

    # Life

    @property
    def is_running(self) -> bool:
        """True between start and stop."""
        return self._writer is not None and not self._has_ended

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        return self._place.path

    @property
    def _place(self) -> RunPlace:
        return self.store.place(self.run_id)

    def start(self) -> Self:
        """Begin the run, and make it the active one.

        Raises:
            UsageError: it was started before, a backend is none, or `params` have no names.
            PluginError: a backend can't be used.
            JournalError: its journal can't be written, or another process writes it.
        """
        if self._writer is not None:
            raise UsageError(
                f"{self!r} was started before",
                next_step="Make another Experiment; with run_id=... it goes on with this run.",
            )
        told = self._arguments
        params = flatten_params(told["params"] if told["params"] is not None else {})
        mirrors = planned(told["backend"], told["routing"])
        collectors = prepare_collectors(told["collectors"])
        automagic = prepare_automagic(told["automagic"])
        clock: Clock = told["clock"] or SystemClock()
        self.run_id = self.run_id or make_run_id(clock.wall_ns(), secrets.token_bytes(3))
        resumed = self._place.journal.is_dir()
        self._writer = RunWriter(self._place, self.run_id, clock)
        self._writer.write(
            RunStarted(
                name=self.name, project=self.project, tags=self._tags, pid=os.getpid(),
                # The script's name alone, as arguments may have secrets.
                command=Path(sys.argv[0]).name if sys.argv else "", resumed=resumed,
            )
        )  # fmt: skip
        active.enter(self)
        try:
            if resumed:
                for name, series in read_run(self._place).metrics.items():
                    self._steps.take(name, series.last_step)
            if params:
                self.log_params(params)
            if mirrors is not None:
                self._mirroring = mirrors(self.store, self._place)
            attach(self, collectors=collectors, automagic=automagic)
        except BaseException as error:
            self.stop(error=error)  # nobody else would: a `with` block is not begun
            raise
        return self

    def stop(
        self,
        status: str = Status.FINISHED,
        error: BaseException | None = None,
        *,
        flush_timeout_s: float | None = None,
    ) -> None:
        """End the run; a second call does nothing, and neither does a forked child's.

        Args:
            status: `finished` or `failed`.
            error: kept with its type, message and traceback; makes the run a failed one.
            flush_timeout_s: how long mirrors that are at work may take; 10 without it.

        Raises:
            UsageError: `status` is another.
        """
        if status not in (Status.FINISHED, Status.FAILED):
            raise UsageError("No run ends so", got=status, expected="finished or failed")
        writer = self._writer
        if writer is None or not active.leave(self):
            return
        with ExitStack() as stack:  # one that raises keeps no other from its turn
            stack.callback(self._flush, writer, flush_timeout_s)
            stack.callback(self._end, writer, status, error)
            for closer in () if writer.is_child else self._closers:
                stack.callback(closer)

    def _end(self, writer: RunWriter, status: str, error: BaseException | None) -> None:
        self._has_ended = True
        active.restore(self)
        if not writer.is_child:
            status = Status.FAILED if error is not None else status
            failure = failure_of(error) if error is not None else None
            writer.write(RunEnded(status=status, failure=failure, unwritten=writer.unwritten))
        writer.close()

    def _flush(self, writer: RunWriter, within_s: float | None) -> None:
        if self._mirroring is not None and not writer.is_child:
            self._mirroring.finish(within_s)

    def on_stop(self, closer: Callable[[], None]) -> None:
        """Have `closer` called when the run stops, while it can still log; the last one first."""
        self._closers.append(closer)

    def mirrors(self) -> "dict[str, Place]":
        """Return how far each mirror is, with its counts, by label."""
        return self._mirroring.places() if self._mirroring is not None else {}

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop: failed when the block raised; what it raised goes on."""
        self.stop(error=None if is_success(error) else error)

    async def __aenter__(self) -> Self:
        """Start."""
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, in a thread: mirrors may take their time."""
        error = None if is_success(error) else error
        await asyncio.to_thread(self.stop, error=error)
        active.restore(self)

    def __call__(self, function: _F) -> _F:
        """Make a run of each call of `function`, which may be `async`."""
        return each_call(function, self._again)

    def _again(self) -> "Experiment":
        return Experiment(self.name, self.project, **self._arguments)

    def _writing(self) -> RunWriter:
        writer = self._writer
        if writer is None or self._has_ended:
            raise UsageError(
                f"{self!r} can't log",
                expected="a call between start and stop",
                next_step="Use `with Experiment(...) as experiment:`, or start_logging().",
            )
        return writer

    # Logging

    def log_metric(
        self, name: str, value: Any, iteration: int | None = None, *, step: int | None = None
    ) -> None:
        """Log one value of a metric; takes a few microseconds and waits for no disk.

        Args:
            name: of the metric.
            value: a number, or an array or tensor of one; NaN and infinities are kept and marked.
            iteration: its step, 0 being one like any other; without it the iteration that was
                set, else one more than the metric's last, from 0.
            step: another name for `iteration`.

        Raises:
            UsageError: the value is no number, the step none, or the run is not running.
        """
        writer = self._writer
        if writer is None or self._has_ended:
            writer = self._writing()
        if type(value) is not float:
            value = to_scalar(value, name)
        if type(name) is not str or name not in self._steps.names:
            check_name(name, "metric")
        writer.metrics(self._steps.take(name, one_step(iteration, step)), {name: value})

    def log_metrics(
        self,
        values: Mapping[str, Any],
        iteration: int | None = None,
        *,
        step: int | None = None,
        source: str | None = None,
    ) -> None:
        """Log values of several metrics at one step; otherwise as `log_metric`.

        `source` says who logs, such as `collector:gpu`, where it is not the script itself; rules
        can tell them apart.
        """
        writer = self._writing()
        numbers = {check_name(n, "metric"): to_scalar(v, n) for n, v in values.items()}
        if numbers:
            taken = self._steps.take_for_all(numbers, one_step(iteration, step))
            writer.metrics(taken, numbers, source)

    def log_sample(self, values: Mapping[str, float], source: str) -> None:
        """Log floats that no step of the script is meant by: they have steps of their own."""
        self._writing().metrics(self._steps.take_own(values), dict(values), source)

    def log_params(self, params: Any = None, /, **named: Any) -> None:
        """Log parameters: a dict, dataclass, model or namespace, nested as it likes, or keywords.

        Nested names are joined by dots. A later value replaces an earlier one. Values that look
        like secrets are not kept.

        Raises:
            UsageError: it has no names, or is nested too deeply.
        """
        flat = flatten_params(params) if params is not None else {}
        flat.update(flatten_params(named))
        if flat:
            self._writing().write(ParamsLogged(self._secrecy.shown(flat, "parameters")))

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Set tags; a later value replaces an earlier one."""
        values = self._secrecy.tags(tags) | self._secrecy.tags(named)
        if values:
            self._writing().write(TagsSet(values))

    def set_iteration(self, iteration: int | None) -> None:
        """Set the step of all values logged from now on without one; None: each counts its own."""
        self._steps.iteration = None if iteration is None else to_step(iteration)

    @property
    def iteration(self) -> int | None:
        """The step that was set by `set_iteration`."""
        return self._steps.iteration

    # Artifacts

    def log_artifact(self, local_path: str | Path, artifact_path: str | None = None) -> None:
        """Keep a file as it is now, or all files of a directory, under their content's hash.

        Args:
            local_path: the file or directory; it may change or go afterwards.
            artifact_path: its name in the run; the file's own without it. The same name again is
                a new version.

        Raises:
            UsageError: there is no such file, or the name can't be used.
            FileError: it can't be stored.
        """
        path = Path(local_path)
        name = check_artifact_name(artifact_path or path.resolve().name)
        blobs = BlobStore(self.store.blobs)
        writer = self._writing()
        for each, file in files_in(path, name, self.store.root).items():
            blob = blobs.put_file(file)
            writer.write(ArtifactLogged(name=each, sha256=blob.sha256, size=blob.size))

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Keep `data` as an artifact of this name; otherwise as `log_artifact`."""
        writer = self._writing()
        blob = BlobStore(self.store.blobs).put_bytes(data)
        name = check_artifact_name(artifact_path)
        writer.write(ArtifactLogged(name=name, sha256=blob.sha256, size=blob.size))

    def list_artifacts(self) -> list[Kept]:
        """Return all artifacts logged so far, every version, in order."""
        return self.snapshot().artifacts

    def get_artifact(
        self, name: str, to: str | Path | None = None, *, version: int | None = None
    ) -> Path:
        """Return where an artifact's content lies, which is not to be changed; or copy it.

        Args:
            name: as it was logged; of a directory too, which needs `to`.
            to: a file, or directory, to write it to; that path is returned then.
            version: which of several, from 1; the latest without it.

        Raises:
            UsageError: the run has no such artifact.
            FileError: it can't be written to `to`.
        """
        return fetch_artifact(self.store, self.snapshot(), name, to, version)

    def snapshot(self) -> Run:
        """Return the run as its journal tells it now.

        Raises:
            JournalError: it was not started, or can't be read.
        """
        return read_run(self._place)
