"""Mirrors a run to an Aim repository: values with context and step, parameters, tags, files."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import msgspec
import psutil

from steelyard.domain.track.events import (
    SCRIPT,
    Artifact,
    Logged,
    Metric,
    Params,
    RunEnded,
    Tags,
)
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.kernel.units import NS_PER_S

PARAMS = "hparams"
OURS = "steelyard"
"""The parameter with what Aim has no place for: our id, the status, the failure, tags by name."""

ARTIFACTS = "artifacts"
_INT_MAX = 1 << 63
_HASH_LENGTH = 24


class AimBackend:
    """Writes into `DIRECTORY/.aim`, and files to `DIRECTORY/artifacts/RUN/NAME`.

    The run's hash in Aim is made of ours, so that a run which is opened twice is one. The project
    is Aim's experiment, a tag is `name=value`, a source other than the script is the context. A
    value has the time at which it was logged. Neither the machine nor the terminal is watched.

    Args:
        directory: where the repository is; made if missing. No server (`aim://`).
    """

    def __init__(self, directory: str = ".") -> None:
        if "://" in directory:
            raise PluginError(
                "The aim backend writes to a directory",
                got=directory,
                next_step="Name the directory that the server of Aim serves.",
            )
        self._directory = Path(directory)
        self._repo: Any = None
        self._run: Any = None
        self._tags: dict[str, str] = {}

    def open(self, run: RunFacts) -> str:
        """Begin the run, or go on with it; the reference is `DIRECTORY#HASH`."""
        directory, name = self._directory.absolute(), run_hash(run.run_id)
        if run.reference:
            text, _, name = run.reference.rpartition("#")
            directory = Path(text)
        directory.mkdir(parents=True, exist_ok=True)
        self._repo = _repository(directory)
        opened = self._begin(directory, name, run)
        with ExitStack() as stack:
            stack.callback(opened.close)
            opened.name, opened.experiment = run.name, run.project
            opened.set_artifacts_uri(f"file://{directory / ARTIFACTS}")
            ours = opened.get(OURS, {})
            self._tags = dict(ours.get("tags", {}))
            opened[OURS] = {
                "run_id": run.run_id, "command": run.command, "tags": self._tags,
                "status": "running",
            }  # fmt: skip
            self._tag(opened, {**run.tags, **self._tags})
            stack.pop_all()
        self._run = opened
        return f"{directory}#{name}"

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Write each item in turn; one that is there already is left as it is."""
        run = self._opened()
        refused: dict[int, str] = {}
        for number, item in enumerate(items):
            why = ""
            if isinstance(item, Metric):
                why = self._track(run, item)
            elif isinstance(item, Params):
                why = "; ".join(filter(None, map(why_not_param, item.values.items())))
                for key, value in item.values.items():
                    if not why_not_param((key, value)):
                        run[PARAMS, key] = value
            elif isinstance(item, Tags):
                self._tag(run, item.values)
            else:
                self._put(run, item)
            if why:
                refused[number] = why
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Nothing is held back: each write went to the log of Aim's store."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended, where it did, and close the run.

        Aim takes every closed run for ended, until it is opened again; `steelyard.status` tells.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            if end is not None:
                run[OURS, "status"] = end.status
                if end.failure is not None:
                    run[OURS, "failure"] = msgspec.to_builtins(end.failure)
                run.report_successful_finish()
        finally:
            run.close()
            self._repo = None

    def _opened(self) -> Any:
        if self._run is None:
            raise PluginError("The aim backend is not open")
        return self._run

    def _begin(self, directory: Path, name: str, run: RunFacts) -> Any:
        from aim import Run
        from aim.sdk.errors import RunLockingError

        # Aim goes on with a run whose folder is there; without one it would take a hash by chance.
        (directory / ".aim" / "meta" / "chunks" / name).mkdir(parents=True, exist_ok=True)
        self._repo._all_run_hashes.cache_clear()  # noqa: SLF001  it is kept for half a second
        started = datetime.fromtimestamp(run.started_ns / NS_PER_S, UTC).replace(tzinfo=None)
        self._repo.request_props(name, read_only=False, created_at=started)
        options = {
            "repo": self._repo,
            "system_tracking_interval": None,
            "log_system_params": False,
            "capture_terminal_logs": False,
        }
        try:
            return Run(name, **options)
        except RunLockingError:
            if not lock_is_left(directory / ".aim" / "locks" / f"{name}.softlock"):
                raise
            return Run(name, force_resume=True, **options)

    def _track(self, run: Any, item: Metric) -> str:
        """Write a value; return why it is refused, if it is."""
        if not -_INT_MAX <= item.step < _INT_MAX:
            return "the step has more than 64 bits"
        from aim.storage.context import Context

        context = {} if item.source == SCRIPT else {"source": item.source}
        seconds = item.wall_ns / NS_PER_S
        tracker = run._tracker  # noqa: SLF001  `Run.track` would stamp the time of delivery
        series = tracker.sequence_infos[Context(context).idx, item.name]
        # Behind the last step nothing is there; a look at the store takes longer than a write.
        if series.initialized and item.step < series.count:
            there = _at(series, item.step)
            if there is not None:
                same = there[0] == seconds and repr(there[1]) == repr(item.value)
                return "" if same else "Aim keeps one value of a metric at a step, the first"
        track = tracker._track  # noqa: SLF001  as above
        track(item.value, seconds, item.name, item.step, context=context)
        return ""

    def _tag(self, run: Any, tags: dict[str, str]) -> None:
        there = set(run.tags)
        for name, value in tags.items():
            old, new = f"{name}={self._tags.get(name, value)}", f"{name}={value}"
            if old != new and old in there:
                run.remove_tag(old)
            if new not in there:
                run.add_tag(new)
            self._tags[name] = value
        run[OURS, "tags"] = self._tags

    def _put(self, run: Any, item: Artifact) -> None:
        with Path(item.path).open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        if digest != item.sha256:
            raise SteelyardError(f"The content of artifact '{item.name}' is not what it was")
        run.log_artifact(item.path, name=item.name, block=True)


def run_hash(run_id: str) -> str:
    """Return what a run of ours is called in Aim."""
    return sha256(run_id.encode()).hexdigest()[:_HASH_LENGTH]


def why_not_param(pair: tuple[str, Any]) -> str:
    """Return why Aim can't hold a parameter; empty when it can."""
    name, value = pair
    return f"parameter '{name}' has more than 64 bits" if _too_large(value) else ""


def _too_large(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_too_large(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_too_large(part) for part in value)
    return isinstance(value, int) and not -_INT_MAX <= value < _INT_MAX


def lock_is_left(lock: Path) -> bool:
    """Tell whether Aim's lock of a run is of a process that is gone, or of this one.

    Aim tells so itself where a machine has a number; a container may have none, and gets another
    with each process. A mirror knows that no other of its run is at work.
    """
    try:
        words = lock.read_text().split("-")
    except FileNotFoundError:
        return True
    pid = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return pid == os.getpid() or not psutil.pid_exists(pid)


def _at(series: Any, step: int) -> tuple[float, float] | None:
    """Return time and value of a step that a series has."""
    key = series.step_hash_fn(step)
    try:
        return series.time_view[key], series.val_view[key]
    except KeyError:
        return None


def _repository(directory: Path) -> Any:
    from aim import Repo

    is_there = (directory / ".aim" / "VERSION").is_file()
    return Repo.from_path(str(directory), init=not is_there)
