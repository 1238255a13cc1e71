"""Where things lie in a store of runs."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from steelyard.runtime.files import write_atomic
from steelyard.runtime.journal_writer import SUFFIX

STORE_VARIABLE = "STEELYARD_TRACK_DIR"
DEFAULT_STORE = ".steelyard"
BENCH_DIRECTORY = "artifacts"
MAIN_STREAM = "main"
TRACKED_FILE = "tracked.json"
"""In a benchmark's directory: the tracked run that tells of it, and the store where that is."""


@dataclass(frozen=True)
class RunPlace:
    """A run's directory, which has a `journal/` in it."""

    path: Path
    is_bench: bool = False

    @property
    def journal(self) -> Path:
        """The directory of its journal files."""
        return self.path / "journal"

    def fingerprint(self) -> str:
        """Return a text that changes when the run does: names, sizes and times of its files."""
        watched = [*sorted(self.journal.glob(f"*{SUFFIX}")), self.path / "profile_export.json"]
        facts = []
        for file in watched:
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            facts.append(f"{file.name}:{status.st_size}:{status.st_mtime_ns}")
        return " ".join(facts)


@dataclass(frozen=True)
class Store:
    """A directory of tracked runs, and directories with benchmarks' artifacts beside it.

    Layout below `root`: `runs/RUN_ID/journal/`, `runs/RUN_ID/mirrors/`, `blobs/AB/SHA256` and
    `index.duckdb`, which can be made again from the rest.
    """

    root: Path
    bench: tuple[Path, ...] = ()

    @classmethod
    def of(cls, directory: str | Path | None, environ: Mapping[str, str] = os.environ) -> "Store":
        """Return the store that is asked for: `directory`, else the environment's, else default."""
        chosen = directory or environ.get(STORE_VARIABLE) or DEFAULT_STORE
        return cls(Path(chosen).absolute(), (Path(BENCH_DIRECTORY).absolute(),))

    @property
    def runs(self) -> Path:
        """The directory of tracked runs."""
        return self.root / "runs"

    @property
    def blobs(self) -> Path:
        """The directory of artifacts by content."""
        return self.root / "blobs"

    @property
    def index(self) -> Path:
        """The query face."""
        return self.root / "index.duckdb"

    def place(self, run_id: str) -> RunPlace:
        """Return where the tracked run of this id lies, or would."""
        return RunPlace(self.runs / run_id)

    def places(self) -> Iterator[RunPlace]:
        """Yield every run that is there, tracked ones first, each kind by name.

        A benchmark that was tracked into this store is there once, as the run that tells of it.
        """
        for directory in _with_journal(self.runs):
            yield RunPlace(directory)
        for parent in self.bench:
            for directory in _with_journal(parent):
                if not self._has_run_of(directory):
                    yield RunPlace(directory, is_bench=True)

    def note_tracked(self, directory: Path, run_id: str) -> None:
        """Keep in a benchmark's directory which run of this store tells of it.

        Raises:
            FileError: the note can't be written.
        """
        text = json.dumps({"run_id": run_id, "store": str(self.root)}) + "\n"
        write_atomic(directory / TRACKED_FILE, text.encode())

    def _has_run_of(self, directory: Path) -> bool:
        try:
            note = json.loads((directory / TRACKED_FILE).read_bytes())
            return note["store"] == str(self.root) and self.place(note["run_id"]).journal.is_dir()
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):  # not our note: the benchmark is listed
            return False


def _with_journal(parent: Path) -> Iterator[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(parent) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (parent / name for name in names if (parent / name / "journal").is_dir())
