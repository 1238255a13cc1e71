"""Mirrors a run to a file of JSON lines, with its artifacts beside it: for tools of your own."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.domain.track.values import mark_of, number_document
from steelyard.kernel.errors import PluginError

EVENTS_FILE = "events.jsonl"
ARTIFACTS = "artifacts"


def line_of(item: Logged) -> dict[str, Any]:
    """Return what stands in the line of an item."""
    if isinstance(item, Metric):
        mark = mark_of(item.value)
        return {
            "kind": "metric", "name": item.name, "value": None if mark else item.value,
            **({"non_finite": mark} if mark else {}),
            "step": item.step, "wall_ns": item.wall_ns, "source": item.source,
        }  # fmt: skip
    if isinstance(item, Artifact):
        return {
            "kind": "artifact", "name": item.name, "sha256": item.sha256, "size": item.size,
            "wall_ns": item.wall_ns, "source": item.source,
        }  # fmt: skip
    kind = "params" if isinstance(item, Params) else "tags"
    values = {key: _plain(value) for key, value in item.values.items()}
    return {"kind": kind, "values": values, "wall_ns": item.wall_ns}


def _plain(value: Any) -> Any:
    return number_document(value) if isinstance(value, float) else value


class JsonlBackend:
    """Writes `DIRECTORY/RUN_ID/events.jsonl` and `DIRECTORY/RUN_ID/artifacts/NAME`.

    A line is a JSON object with a `kind`: start, metric, params, tags, artifact or end. A number
    that JSON has not is null beside `non_finite`.

    Args:
        directory: made if missing.
    """

    def __init__(self, directory: str = "tracked") -> None:
        self._directory = Path(directory)
        self._run = self._directory
        self._file: BinaryIO | None = None

    def open(self, run: RunFacts) -> str:
        """Begin the file, or go on with it behind its last whole line."""
        self._run = Path(run.reference) if run.reference else (self._directory / run.run_id)
        self._run = self._run.absolute()
        self._run.mkdir(parents=True, exist_ok=True)
        self._file = (self._run / EVENTS_FILE).open("ab")
        self._cut_torn_line(self._file)
        if not self._file.tell():
            facts = msgspec.to_builtins(run)
            facts.pop("reference")
            self._write({"kind": "start", **facts})
        return str(self._run)

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Append a line per item."""
        for item in items:
            if isinstance(item, Artifact):
                self._copy(item)
            self._write(line_of(item))
        self._opened().flush()
        return Delivery(len(items))

    def flush(self) -> None:
        """Bring the lines to the disk."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended, where it did, and close the file."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            if end is not None:
                file.write(_line({"kind": "end", **msgspec.to_builtins(end)}))

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise PluginError("The jsonl backend is not open")
        return self._file

    def _write(self, facts: dict[str, Any]) -> None:
        self._opened().write(_line(facts))

    def _copy(self, item: Artifact) -> None:
        target = self._run / ARTIFACTS / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(item.path, temporary)
        temporary.replace(target)

    def _cut_torn_line(self, file: BinaryIO) -> None:
        """Take off what a writer left that died inside a line."""
        path = self._run / EVENTS_FILE
        data = path.read_bytes() if path.stat().st_size else b""
        file.truncate(data.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)


def _line(facts: dict[str, Any]) -> bytes:
    return msgspec.json.encode(facts) + b"\n"
