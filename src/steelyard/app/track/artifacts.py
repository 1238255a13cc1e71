"""Artifacts of a run: which files are meant, and getting them back."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from steelyard.domain.track.names import check_artifact_name
from steelyard.domain.track.run import Run
from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import atomic_path, reason_of
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import Store

_UNUSABLE = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")
_log = logging.getLogger("steelyard.track")


def files_in(path: Path, name: str) -> dict[str, Path]:
    """Return the files that are meant by `path`, by their names as artifacts.

    Of a directory these are all files below it. A link is followed to a file that is below it, too;
    links to elsewhere, links to directories, pipes, sockets and devices are left out, and named in
    a warning. What a name can't have (a backslash, a control character, bytes that are no text) is
    there as its number: `%5C`.

    Raises:
        UsageError: a directory can't be read, or a file's name is too long.
    """
    if not path.is_dir():
        return {name: path}
    files: dict[str, Path] = {}
    left_out = []
    root = path.resolve()
    for file in sorted(_below(path)):
        if _is_kept(file, root):
            files[check_artifact_name(f"{name}/{_as_text(file.relative_to(path))}")] = file
        else:
            left_out.append(_as_text(file.relative_to(path)))
    if left_out:
        shown = ", ".join(left_out[:8]) + (" ..." if len(left_out) > 8 else "")
        _log.warning(
            "Of the directory %s, %d entries are not kept, being no files in it: %s",
            path, len(left_out), shown,
        )  # fmt: skip
    return files


def _below(path: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(
            f"Can't read {error.filename}: {reason_of(error)}",
            expected="a directory that can be read",
        ) from error

    for directory, folders, names in os.walk(path, onerror=refuse):
        here = Path(directory)
        yield from (here / name for name in names)
        yield from (here / name for name in folders if (here / name).is_symlink())


def _is_kept(file: Path, root: Path) -> bool:
    return file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root))


def _as_text(path: Path) -> str:
    text = os.fsencode(path.as_posix()).decode("utf-8", "surrogateescape")
    return _UNUSABLE.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", text)


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
