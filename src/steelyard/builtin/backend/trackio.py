"""Mirrors a run to Trackio's files: SQLite and artifacts in a directory, no server, no account.

Written with Trackio's own storage layer and not with `trackio.init`, which asks a vendor who the
user is, logs from a thread, and prints what went wrong instead of raising it.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.kernel.units import NS_PER_S

OURS = "steelyard"
"""The entry of a run's configuration with what Trackio has no place for: status and tags."""

RESERVED = frozenset({"project", "run", "timestamp", "step", "time", "metrics"})
_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_ARTIFACT = re.compile(r"[A-Za-z0-9._-]+")
_STEP_MAX = 1 << 63
_INT_MAX = 1 << 64


class _Place(msgspec.Struct, frozen=True):
    directory: str
    project: str


class TrackioBackend:
    """Writes `DIRECTORY/PROJECT.db` and `DIRECTORY/artifacts/`, as Trackio's dashboard reads them.

    Each value is a row of its own, known by a hash of where and when it was logged, so that one
    which is sent again is not kept twice. Parameters are the run's configuration.

    Args:
        directory: empty for Trackio's own (`TRACKIO_DIR`). One process has one directory.
        project: instead of the run's.
    """

    def __init__(self, directory: str = "", project: str = "") -> None:
        self._directory = directory
        self._project = project
        self._run = RunFacts(run_id="", name="", project="", started_ns=0)
        self._storage: Any = None
        self._config: dict[str, Any] = {}

    def open(self, run: RunFacts) -> str:
        """Begin the run, or go on with it; the reference is its directory and project."""
        place = _Place(self._directory, self._project or run.project)
        if run.reference:
            place = msgspec.json.decode(run.reference, type=_Place)
        storage, directory = _storage(place.directory)
        self._project, self._run = place.project, run
        storage.validate_project_name(place.project)
        kept = storage.get_run_config(place.project, run.name, run.run_id) or {}
        ours = kept.get(OURS, {"tags": dict(run.tags)})
        created = _time(run.started_ns)
        self._config = {"_Created": created, "_Group": None, "_Username": None, **kept}
        self._config[OURS] = {**ours, "run_id": run.run_id, "status": "running"}
        self._save(storage)
        self._storage = storage
        return msgspec.json.encode(_Place(directory, place.project)).decode()

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Write values in one transaction, then the configuration, then artifacts."""
        storage = self._opened()
        refused = {number: why for number, item in enumerate(items) if (why := why_not(item))}
        metrics = [
            item
            for number, item in enumerate(items)
            if isinstance(item, Metric) and number not in refused
        ]
        self._write(storage, metrics)
        changed = False
        for number, item in enumerate(items):
            if isinstance(item, Artifact):
                if why := self._put(storage, item):
                    refused[number] = why
            elif isinstance(item, Params):
                # Of a group of parameters those are kept that can be.
                good = {key: v for key, v in item.values.items() if not why_not_param(key, v)}
                self._config.update(good)
                changed = True
            elif not isinstance(item, Metric):
                self._config[OURS]["tags"].update(item.values)
                changed = True
        if changed:
            self._save(storage)
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Nothing is held back: each write is a transaction, and its file was closed."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended into its configuration, where it did."""
        storage, self._storage = self._storage, None
        if storage is not None and end is not None:
            ours = self._config[OURS]
            ours["status"] = end.status
            if end.failure is not None:
                ours["failure"] = msgspec.to_builtins(end.failure)
            self._save(storage)

    def _opened(self) -> Any:
        if self._storage is None:
            raise PluginError("The trackio backend is not open")
        return self._storage

    def _write(self, storage: Any, metrics: Sequence[Metric]) -> None:
        if not metrics:
            return
        storage.bulk_log(
            project=self._project,
            run=self._run.name,
            metrics_list=[{item.name: item.value} for item in metrics],
            steps=[item.step for item in metrics],
            timestamps=[_time(item.wall_ns) for item in metrics],
            log_ids=log_ids(self._run.run_id, metrics),
            run_id=self._run.run_id,
        )

    def _save(self, storage: Any) -> None:
        # Trackio writes a configuration with values only, and lists no run without any: this row
        # has none, is there once, and shows a run from its start.
        storage.bulk_log(
            project=self._project,
            run=self._run.name,
            metrics_list=[{}],
            steps=[0],
            timestamps=[_time(self._run.started_ns)],
            config=self._config,
            log_ids=[self._run.run_id],
            run_id=self._run.run_id,
        )

    def _put(self, storage: Any, item: Artifact) -> str:
        """Keep a file; return why it is refused, if it is.

        The alias `run-RUN_ID` is at the last version that this run logged, also where that content
        was there before: Trackio makes no second version of it, and leaves `latest` where it is.
        """
        from trackio import cas

        digest, size = cas.stage_blob_into_project(Path(item.path), self._project)
        if digest != item.sha256:
            raise SteelyardError(f"The content of artifact '{item.name}' is not what it was")
        name = artifact_name(item.name)
        try:
            cas.validate_logical_path(item.name)
            kept = storage.commit_artifact_version(
                project=self._project,
                name=name,
                type="file",
                description=None,
                manifest=[{"path": item.name, "digest": digest, "size": size}],
                metadata=None,
                aliases=None,
                run_name=self._run.name,
                run_id=self._run.run_id,
            )
        except ValueError as error:
            return f"Trackio: {error}"
        found = storage.resolve_artifact_version(self._project, name, f"v{kept['version']}")
        storage.reassign_alias(
            self._project, found["artifact_id"], f"run-{self._run.run_id}", found["version_id"]
        )
        return ""


def why_not(item: Logged) -> str:
    """Return why Trackio can't hold an item, or not all of it; empty when it can."""
    if isinstance(item, Metric):
        if item.name in RESERVED or item.name.startswith("__"):
            return f"Trackio keeps the name '{item.name}' to itself"
        if not -_STEP_MAX <= item.step < _STEP_MAX:
            return "the step has more than 64 bits"
    if isinstance(item, Params):
        reasons = (why_not_param(key, value) for key, value in item.values.items())
        return "; ".join(reason for reason in reasons if reason)
    return ""


def why_not_param(name: str, value: Any) -> str:
    """Return why Trackio can't hold a parameter; empty when it can."""
    if name.startswith("_") or name == OURS:
        return f"the name of parameter '{name}' is taken in Trackio's configuration"
    why = _why_not_value(value)
    return f"parameter '{name}' {why}" if why else ""


def _why_not_value(value: Any) -> str:
    if isinstance(value, int) and not -_STEP_MAX <= value < _INT_MAX:
        return "has more than 64 bits"
    if isinstance(value, str) and value in _NUMBERS:
        return "is a text that Trackio would read as a number"
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return next((why for part in value if (why := _why_not_value(part))), "")
    return ""


def log_ids(run_id: str, metrics: Sequence[Metric]) -> list[str]:
    """Return what tells each value from all others, and is the same when it is sent again."""
    seen: Counter[tuple[Any, ...]] = Counter()
    found = []
    for item in metrics:
        key = (run_id, item.name, item.step, item.wall_ns, repr(item.value), item.source)
        seen[key] += 1
        text = msgspec.json.encode([*key, seen[key]])
        found.append(sha256(text).hexdigest()[:32])
    return found


def artifact_name(name: str) -> str:
    """Return what an artifact is called in Trackio, whose names have no slashes and are ASCII."""
    if _ARTIFACT.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return f"{plain}-{sha256(name.encode()).hexdigest()[:8]}"


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).isoformat()


def _storage(directory: str) -> tuple[Any, str]:
    """Import Trackio for a directory; return its storage and the directory's full path.

    Raises:
        PluginError: Trackio was imported for another one; it fixes it when it is imported.
    """
    if directory and "trackio" not in sys.modules:
        os.environ["TRACKIO_DIR"] = str(Path(directory).absolute())
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from trackio import utils
    from trackio.sqlite_storage import SQLiteStorage

    kept = str(Path(utils.TRACKIO_DIR).absolute())
    if directory and str(Path(directory).absolute()) != kept:
        raise PluginError(
            "Trackio keeps the runs of a process in one directory",
            got=directory,
            expected=kept,
            next_step="Leave mirrors in processes of their own, or set TRACKIO_DIR.",
        )
    return SQLiteStorage, kept
