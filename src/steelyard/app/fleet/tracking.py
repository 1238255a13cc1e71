"""Every task that ends becomes a run of the tracker: what it was told, how it went, what it wrote.

A run is written in one go, beside the fleet's loop; a tracker that can't be written holds nothing
up. Its id follows from the task, so that it is there once, whoever writes it.
"""

import asyncio
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.bench_tracking.recorder import verdict_tags
from steelyard.app.fleet.cut_off_runs import is_cut_off, run_id_of, unwritten
from steelyard.app.fleet.reading import FleetReader
from steelyard.app.track.experiment import Experiment
from steelyard.builtin.task_kind.benchmark import ARTIFACTS
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Attempt, Task, TaskSpec
from steelyard.domain.fleet.states import TaskState
from steelyard.domain.track.bounded_params import take_params
from steelyard.domain.track.names import nearest_name
from steelyard.domain.track.run import Status
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.track.bench_runs import summary_values
from steelyard.runtime.track.layout import RunPlace

PROJECT = "fleet"
WAITING_MAX = 10_000
BENCHMARK = "benchmark"
WORK = "work"
NUMBERS_MAX = 1_000
"""Numbers of a result that become metrics, the first ones."""
_ENDS = frozenset({FleetHook.TASK_COMPLETED, FleetHook.TASK_FAILED, FleetHook.TASK_CANCELLED})
_THOSE_BEFORE = ""
"""Stands in the queue for the tasks that an earlier coordinator did not get to; no task's id."""
_log = logging.getLogger("steelyard.fleet")


class TaskEndedBadlyError(SteelyardError):
    """What the run of a task that did not end well ends with."""


class TaskRuns:
    """Writes the runs of the tasks that end.

    Args:
        directory: the store.
        reader: knows the tasks and their logs.

    Attributes:
        written, unwritten: how many runs there are, and how many could not be.
    """

    def __init__(self, directory: str, reader: FleetReader) -> None:
        self.written, self.unwritten = 0, 0
        self._directory, self._reader = directory, reader
        self._border = PluginBorder()
        self._waiting: asyncio.Queue[str] = asyncio.Queue(WAITING_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_all(), name="fleet-runs")
        self._task.add_done_callback(_say_why)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs were written, and how many could not be."""
        return {"written": self.written, "unwritten": self.unwritten}

    async def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of a task that ended; of those before, when a coordinator begins to lead."""
        if event == FleetHook.COORDINATOR_STARTUP:
            name = _THOSE_BEFORE
        elif event in _ENDS:
            name = arguments[0]
        else:
            return
        try:
            self._waiting.put_nowait(name)
        except asyncio.QueueFull:
            self.unwritten += 1

    async def stop(self, within_s: float) -> None:
        """Write what waits, for so long at most, and end."""
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._waiting.join(), within_s)
        except TimeoutError:
            _log.warning("%d tasks have no run: no time left", self._waiting.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _write_all(self) -> None:
        while True:
            name = await self._waiting.get()
            try:
                for task_id in [name] if name != _THOSE_BEFORE else await self._those_before():
                    await self._count(task_id)
            finally:
                self._waiting.task_done()

    async def _those_before(self) -> list[str]:
        try:
            return await asyncio.to_thread(unwritten, self._reader.queries, self._directory)
        except (SteelyardError, OSError) as error:
            _log.error("Whether tasks that ended before have their runs is not known: %s", error)
            return []

    async def _count(self, task_id: str) -> None:
        try:
            await self._write(task_id)
            self.written += 1
        except (SteelyardError, OSError) as error:
            self.unwritten += 1
            _log.error("Task %s has no run: %s", task_id, error)

    async def _write(self, task_id: str) -> None:
        task = await self._reader.task(task_id)
        attempts = await self._reader.attempts(task_id)
        logs = {each.attempt: await self._reader.log_paths(task_id, each.attempt)
                for each in attempts}  # fmt: skip
        # What a task says of itself may be anything: it is nobody's trouble but its own.
        with self._border.crossing(f"task {task_id}", "become a run"):
            await asyncio.to_thread(write_run, self._directory, task, attempts, logs)


def _say_why(writing: asyncio.Task[None]) -> None:
    """Say that no more runs are written, where that was not asked for."""
    if not writing.cancelled() and (error := writing.exception()) is not None:
        _log.critical("No more tasks become runs: %r", error, exc_info=error)


class _Then:
    """A clock whose Unix time is that at which what is being written happened."""

    mono_ns = staticmethod(SystemClock.mono_ns)

    def __init__(self, wall_ns: int) -> None:
        self.then_ns = wall_ns

    def wall_ns(self) -> int:
        return self.then_ns


def _times(task: Task, attempts: tuple[Attempt, ...]) -> tuple[int, int]:
    """Return when a task began and ended, Unix time; one never begun began as it was submitted."""
    begun = next((each.started_ns for each in attempts if each.started_ns), 0)
    ended = max((each.ended_ns for each in attempts), default=0)
    begun = begun or task.spec.submitted_ns
    return begun, max(ended or SystemClock().wall_ns(), begun)


def write_run(
    directory: str,
    task: Task,
    attempts: tuple[Attempt, ...],
    logs: Mapping[int, Mapping[str, Path]],
) -> None:
    """Write the run of a task that has ended, unless it is there; anew where that was cut off.

    Args:
        directory: the store.
        task: as it ended.
        attempts: at it.
        logs: files of outputs by attempt and stream.

    Raises:
        SteelyardError: the store can't be written.
    """
    spec, outcome = task.spec, task.outcome
    begun_ns, ended_ns = _times(task, attempts)
    then = _Then(begun_ns)
    experiment = Experiment(
        nearest_name(spec.name or spec.kind), nearest_name(spec.project or PROJECT),
        directory=directory,
        run_id=run_id_of(spec), tags=_tags(task, attempts), params=_params(task), clock=then,
    )  # fmt: skip
    if experiment.directory.exists():
        if not is_cut_off(RunPlace(experiment.directory)):
            return
        shutil.rmtree(experiment.directory)
    error = None
    if task.state is not TaskState.COMPLETED:
        error = TaskEndedBadlyError(f"{task.state}: {task.reason or 'no reason is known'}")
    status = Status.FINISHED if error is None else Status.FAILED
    experiment.start()
    then.then_ns = ended_ns
    try:
        experiment.log_metrics(_metrics(task, attempts))
        for number, paths in logs.items():
            for stream, path in paths.items():
                experiment.log_artifact(path, f"attempt-{number}/{stream}.log")
        for path in _reports(task, logs):
            experiment.log_artifact(path, path.name)
        if outcome is not None and outcome.result is not None:
            experiment.log_bytes(msgspec.json.encode(outcome.result), "result.json")
    finally:
        experiment.stop(status, error)


def _reports(task: Task, logs: Mapping[int, Mapping[str, Path]]) -> list[Path]:
    """Return the files that a benchmark's last attempt left, its journal and logs aside.

    They are looked for where the attempt ran, not where its result says: that is the task's word.
    """
    if task.spec.kind != BENCHMARK or not logs.get(task.attempt):
        return []
    attempt = next(iter(logs[task.attempt].values())).parent
    place = attempt / WORK / ARTIFACTS
    found = sorted(place.iterdir()) if place.is_dir() and not place.is_symlink() else []
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _tags(task: Task, attempts: tuple[Attempt, ...]) -> dict[str, str]:
    spec = task.spec
    tags = {
        "fleet.task": spec.task_id, "fleet.kind": spec.kind, "fleet.state": str(task.state),
        "fleet.user": spec.user, "fleet.worker": attempts[-1].worker_id if attempts else "",
    }  # fmt: skip
    tags |= _verdict(task) | spec.labels
    return {nearest_name(name): value for name, value in tags.items() if name and value}


def _verdict(task: Task) -> dict[str, str]:
    """Return a benchmark's verdict as the tags that a tracked benchmark has."""
    result = task.outcome.result if task.outcome is not None else None
    if task.spec.kind != BENCHMARK or not isinstance(result, Mapping):
        return {}
    causes = [cause for cause in result.get("causes") or () if _has_code(cause)]
    return verdict_tags({"verdict": {"status": result.get("verdict"), "causes": causes}})


def _has_code(cause: object) -> bool:
    return isinstance(cause, Mapping) and "code" in cause


def _params(task: Task) -> dict[str, Any]:
    """Return what the task was told, without what everybody is told: what a run can hold of it."""
    told: dict[str, Any] = msgspec.to_builtins(task.spec)
    usual = msgspec.to_builtins(TaskSpec(task_id="", kind=""))
    elsewhere = ("task_id", "kind", "name", "user", "project", "labels", "submitted_ns")
    taken = take_params(
        {
            name: value
            for name, value in told.items()
            if name not in elsewhere and value != usual[name]
        }
    )
    return taken.values | ({"left_out": taken.left_out} if taken.left_out else {})


def _metrics(task: Task, attempts: tuple[Attempt, ...]) -> dict[str, float]:
    found: dict[str, float] = {
        "fleet/attempts": task.attempt, "fleet/failed_tries": task.tries,
        "fleet/losses": task.losses,
    }  # fmt: skip
    if attempts and attempts[0].leased_ns:
        found["fleet/queue_s"] = (attempts[0].leased_ns - task.spec.submitted_ns) / NS_PER_S
    outcome = task.outcome
    if outcome is not None:
        found["fleet/seconds"] = outcome.seconds
        if outcome.exit_code is not None:
            found["fleet/exit_code"] = outcome.exit_code
        found |= _result_numbers(task.spec.kind, outcome.result)
    return {nearest_name(name): value for name, value in found.items()}


def _result_numbers(kind: str, result: Any) -> dict[str, float]:
    """Return the numbers of a result; a benchmark's by the names that a tracked one has."""
    told = result.get("metrics") if kind == BENCHMARK and isinstance(result, Mapping) else None
    if isinstance(told, Mapping):
        metrics = {tag: each for tag, each in told.items() if isinstance(each, Mapping)}
        return summary_values({"metrics": metrics})
    return dict(islice(_numbers(result, "result"), NUMBERS_MAX))


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a result, however deep in mappings, by their path."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _numbers(each, f"{name}/{key}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, float(value)
