"""Mirrors a run to an offline session of ClearML: a folder, and its zip when the run has ended.

`Task.import_offline_session` brings it to a server. The session is made of ClearML's own classes,
and not with `Task.init`: that watches its process, patches libraries, and can't go on with an
offline session.
"""

import json
import shutil
import zipfile
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import msgspec

from steelyard.builtin.backend.clearml import mapping
from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded, Tags
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import atomic_path, write_atomic

TASK_FILE = "task.json"
METRICS_FILE = "metrics.jsonl"
_LAST_MAX = 10_000


class _Task(msgspec.Struct, kw_only=True):
    """What is kept of a task between two writes of its file."""

    id: str
    name: str
    project: str
    started: str
    status: str = "in_progress"
    completed: str | None = None
    items: mapping.Items = {}
    artifacts: dict[str, dict[str, Any]] = {}


class ClearmlOfflineBackend:
    """Writes `DIRECTORY/offline-ID/` and, at the end, `DIRECTORY/offline-ID.zip`.

    A value that is sent again behind those that it was sent with is known again and not doubled.

    Args:
        directory: made if missing.
    """

    def __init__(self, directory: str = "clearml") -> None:
        self._directory = Path(directory)
        self._folder = self._directory
        self._task: _Task | None = None
        self._metrics: MetricsFile | None = None
        self._services: tuple[Any, Any] = (None, None)

    def open(self, run: RunFacts) -> str:
        """Begin the session, or go on with it; the reference is its folder."""
        self._services = mapping.services()
        name = f"offline-{sha256(run.run_id.encode()).hexdigest()[:32]}"
        folder = Path(run.reference) if run.reference else self._directory.absolute() / name
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        task = self._read() or _Task(
            id=folder.name,
            name=mapping.long_enough(run.name, "run"),
            project=mapping.long_enough(run.project, "project"),
            started=_time(run.started_ns),
        )
        task.status, task.completed = "in_progress", None
        known = task.items.get(mapping.TAGS, {})
        tags = {name: value for name, value in run.tags.items() if name not in known}
        mapping.put(task.items, mapping.TAGS, tags)
        mapping.put(task.items, mapping.PROPERTIES, mapping.facts_of(run))
        self._save(task)
        self._metrics = MetricsFile(folder / METRICS_FILE)
        self._task = task
        return str(folder)

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Append the values as one line, then write the rest into the task's file."""
        task, metrics = self._opened()
        refused = {
            number: why for number, item in enumerate(items) if (why := mapping.why_not(item))
        }
        metrics.append([
            mapping.event_of(item, self._services[1], task.id).to_dict()
            for number, item in enumerate(items)
            if isinstance(item, Metric) and number not in refused
        ])  # fmt: skip
        others = [item for item in items if not isinstance(item, Metric)]
        for item in others:
            if isinstance(item, Params):
                mapping.put(task.items, mapping.GENERAL, item.values)
            elif isinstance(item, Tags):
                mapping.put(task.items, mapping.TAGS, item.values)
            elif isinstance(item, Artifact):
                self._put(task, item)
        if others:
            self._save(task)
        metrics.is_certain = True
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Nothing is held back: each line was handed to the system."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended, and the zip, where it did."""
        task, self._task = self._task, None
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.close()
        if task is None or end is None:
            return
        task.status = mapping.STATUSES.get(end.status, "stopped")
        task.completed = datetime.now(UTC).isoformat()
        mapping.put(task.items, mapping.PROPERTIES, mapping.end_of(end))
        self._save(task)
        _zip(self._folder)

    def _opened(self) -> tuple[_Task, "MetricsFile"]:
        if self._task is None or self._metrics is None:
            raise PluginError("The clearml_offline backend is not open")
        return self._task, self._metrics

    def _read(self) -> _Task | None:
        try:
            kept = json.loads((self._folder / TASK_FILE).read_bytes())
        except FileNotFoundError:
            return None
        return _Task(
            id=kept["id"],
            name=kept["name"],
            project=kept["project_name"],
            started=kept["started"],
            items=kept["hyperparams"],
            artifacts={item["key"]: item for item in kept["execution"].get("artifacts", [])},
        )

    def _save(self, task: _Task) -> None:
        tasks, _ = self._services
        items = {
            section: {name: tasks.ParamsItem(**item) for name, item in values.items()}
            for section, values in task.items.items()
        }
        artifacts = [
            tasks.Artifact(**{**item, "type_data": tasks.ArtifactTypeData(**item["type_data"])})
            for item in task.artifacts.values()
        ]
        made = tasks.Task(
            id=task.id,
            name=task.name,
            type="training",
            status=task.status,
            tags=mapping.tag_texts(task.items),
            hyperparams=items,
            execution=tasks.Execution(artifacts=artifacts),
        )
        document = made.to_dict() | {
            "project_name": task.project,
            "started": task.started,
            "offline_folder": str(self._folder),
            "offline_output_models": [],
        }
        if task.completed:
            document["completed"] = task.completed
        write_atomic(self._folder / TASK_FILE, json.dumps(document, sort_keys=True).encode())

    def _put(self, task: _Task, item: Artifact) -> None:
        place = f"steelyard.{task.id}/{mapping.artifact_path(item.name)}"
        path = self._folder / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            shutil.copyfile(item.path, temporary)
            with temporary.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            if digest != item.sha256:
                raise SteelyardError(f"The content of artifact '{item.name}' is not what it was")
        task.artifacts[item.name] = {
            "key": item.name,
            "type": "custom",
            "mode": "output",
            "uri": str(path),
            "content_size": item.size,
            "hash": digest,
            "timestamp": item.wall_ns // NS_PER_S,
            "type_data": {"preview": f"{item.name} - {item.size} B", "content_type": ""},
        }


class MetricsFile:
    """The file of values: a JSON list of events per line.

    Args:
        path: made if missing; what is there is gone on with.

    Attributes:
        is_certain: False while what comes next may be there already: after opening and a failure.
    """

    def __init__(self, path: Path) -> None:
        # Unbuffered: what could not be written must not be written later.
        self._file = path.open("ab", buffering=0)
        self._last: deque[dict[str, Any]] = deque(maxlen=_LAST_MAX)
        self._size = 0
        self.is_certain = False
        with path.open("rb") as written:
            for line in written:
                if line.endswith(b"\n"):
                    self._size += len(line)
                    self._last.extend(json.loads(line))

    def append(self, events: list[dict[str, Any]]) -> None:
        """Write those of the events that are not there yet, all or none.

        Raises:
            OSError, SteelyardError: it could not; the next call writes where this one began.
        """
        if not self.is_certain:
            # What a writer left that died inside a line: ClearML would read the line before twice.
            self._file.truncate(self._size)
            events = events[overlap(list(self._last), events) :]
        self.is_certain = False
        if events:
            line = json.dumps(events).encode() + b"\n"
            if self._file.write(line) != len(line):
                raise SteelyardError(f"Only a part of {len(line)} bytes of values was written")
            self._size += len(line)
            self._last.extend(events)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def overlap(before: Sequence[Any], after: Sequence[Any]) -> int:
    """Return how many of the last of `before` are the first of `after`; the most there are."""
    for count in range(min(len(before), len(after)), 0, -1):
        if before[-count] == after[0] and list(before[-count:]) == list(after[:count]):
            return count
    return 0


def _zip(folder: Path) -> None:
    with (
        atomic_path(folder.with_name(f"{folder.name}.zip")) as temporary,
        zipfile.ZipFile(temporary, "w", compression=zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).isoformat()
