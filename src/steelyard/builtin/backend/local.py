"""Mirrors a run to another store of runs, such as one that a team shares."""

from collections.abc import Sequence
from pathlib import Path

from steelyard.domain.track.events import (
    Artifact,
    ArtifactLogged,
    Logged,
    Metric,
    Params,
    ParamsLogged,
    RunEnded,
    RunStarted,
    TagsSet,
)
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.writer import RunWriter


class _LoggedTime:
    """Stamps what is written with the time at which it was logged first."""

    mono_ns = staticmethod(SystemClock.mono_ns)

    def __init__(self) -> None:
        self.now_ns = 0

    def wall_ns(self) -> int:
        return self.now_ns or SystemClock.wall_ns()


class LocalBackend:
    """Writes the run into another store, under its own id.

    Args:
        directory: the store; made if missing.
    """

    def __init__(self, directory: str) -> None:
        self._store = Store(Path(directory).absolute())
        self._time = _LoggedTime()
        self._writer: RunWriter | None = None

    def open(self, run: RunFacts) -> str:
        """Begin the run there, or go on with it."""
        place = self._store.place(run.run_id)
        resumed = place.journal.is_dir()
        self._writer = RunWriter(place, run.run_id, self._time)
        self._time.now_ns = 0 if resumed else run.started_ns
        self._writer.write(
            RunStarted(
                name=run.name, project=run.project, tags=run.tags, command=run.command,
                resumed=resumed,
            )
        )  # fmt: skip
        return str(place.path)

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Write a fact per item, each with its own time."""
        writer = self._opened()
        for number, item in enumerate(items):
            self._time.now_ns = item.wall_ns
            if not self._write(writer, item):
                return Delivery(number)
        return Delivery(len(items))

    def flush(self) -> None:
        """Nothing is held back: what is taken was handed to the system."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended, where it did; closing brings the journal to the disk."""
        writer, self._writer = self._writer, None
        self._time.now_ns = end.ended_ns if end is not None else 0
        if writer is None:
            return
        if end is not None:
            writer.write(end)
        writer.close()

    def _opened(self) -> RunWriter:
        if self._writer is None:
            raise PluginError("The local backend is not open")
        return self._writer

    def _write(self, writer: RunWriter, item: Logged) -> bool:
        if isinstance(item, Metric):
            return writer.metrics(item.step, {item.name: item.value}, item.source)
        if isinstance(item, Params):
            return writer.write(ParamsLogged(item.values))
        if not isinstance(item, Artifact):
            return writer.write(TagsSet(item.values))
        blob = BlobStore(self._store.blobs).put_file(Path(item.path))
        if blob.sha256 != item.sha256:
            raise SteelyardError(f"The content of artifact '{item.name}' is not what it was")
        fact = ArtifactLogged(
            name=item.name, sha256=blob.sha256, size=blob.size, source=item.source
        )
        return writer.write(fact)
