"""Artifacts of a run: which files are meant, and getting them back."""

import shutil
from pathlib import Path

from steelyard.domain.track.run import Run
from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import atomic_path
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import Store


def files_in(path: Path, name: str) -> dict[str, Path]:
    """Return the files that are meant by `path`, by their names as artifacts.

    Of a directory these are all files below it; links are left out, as they may lead out of it.
    """
    if not path.is_dir():
        return {name: path}
    inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
    return {f"{name}/{p.relative_to(path).as_posix()}": p for p in inside}


def fetch_artifact(
    store: Store, run: Run, name: str, to: str | Path | None = None, version: int | None = None
) -> Path:
    """Return where an artifact of a run lies, or a copy of it; see `Experiment.get_artifact`.

    Raises:
        UsageError: the run has no such artifact, or its content is not what it was.
        FileError: it can't be written to `to`.
    """
    found = [kept for kept in run.artifacts if kept.name == name]
    chosen = [kept for kept in found if version in (None, kept.version)]
    if not chosen:
        raise UsageError(
            f"Run {run.run_id} has no artifact '{name}'"
            + (f" of version {version}" if found else ""),
            expected="one of " + (", ".join(sorted({k.name for k in run.artifacts})) or "none"),
        )
    blobs = BlobStore(store.blobs)
    problem = blobs.problem_of(chosen[-1].sha256)
    if problem:
        raise UsageError(f"The artifact '{name}' can't be read: {problem}")
    path = blobs.path(chosen[-1].sha256)
    if to is None:
        return path
    with atomic_path(Path(to)) as temporary:
        shutil.copyfile(path, temporary)
    return Path(to)
