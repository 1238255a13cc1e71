"""Artifacts of a run: which files are meant, and getting them back."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from steelyard.domain.track.names import check_artifact_name
from steelyard.domain.track.run import Kept, Run
from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import atomic_path, reason_of
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import Store

_UNUSABLE = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")
_SHOWN = 20
"""Names in a message."""
_log = logging.getLogger("steelyard.track")


def files_in(path: Path, name: str, store: Path | None = None) -> dict[str, Path]:
    """Return the files that are meant by `path`, by their names as artifacts.

    Of a directory these are all files below it. A link is followed to a file that is below it, too;
    links to elsewhere, links to directories, pipes, sockets and devices are left out, and named in
    a warning. What a name can't have (a backslash, a control character, bytes that are no text) is
    there as its number: `%5C`.

    Args:
        path: a file or a directory.
        name: of the artifact, or what the names of a directory's files begin with.
        store: the directory of runs, which is no part of what a run leaves.

    Raises:
        UsageError: a directory can't be read, or a file's name is too long.
    """
    if not path.is_dir():
        return {name: path}
    files: dict[str, Path] = {}
    left_out = []
    root = path.resolve()
    for file in sorted(_below(path, store)):
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


def _below(path: Path, store: Path | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(
            f"Can't read {error.filename}: {reason_of(error)}",
            expected="a directory that can be read",
        ) from error

    for directory, folders, names in os.walk(path, onerror=refuse):
        here = Path(directory)
        if store is not None and store.name in folders and (here / store.name).samefile(store):
            folders.remove(store.name)
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
    if not chosen and version is None and (below := _latest_below(run, name)):
        return _fetch_directory(store, name, below, to)
    if not chosen:
        raise UsageError(
            f"Run {run.run_id} has no artifact '{name}'"
            + (f" of version {version}" if found else ""),
            expected="one of " + _some(sorted({kept.name for kept in run.artifacts})),
        )
    path = _content(store, chosen[-1])
    if to is None:
        return path
    _copy(path, Path(to))
    return Path(to)


def _latest_below(run: Run, name: str) -> dict[str, Kept]:
    """Return the latest versions of what was kept of a directory, by their paths in it."""
    start = name.rstrip("/") + "/"
    return {
        kept.name.removeprefix(start): kept
        for kept in run.artifacts
        if kept.name.startswith(start)
    }  # fmt: skip


def _fetch_directory(
    store: Store, name: str, files: dict[str, Kept], to: str | Path | None
) -> Path:
    if to is None:
        raise UsageError(
            f"'{name}' is a directory of {len(files)} artifacts, which lie by their contents",
            next_step=f"Copy it: get_artifact('{name}', to=...)",
        )
    # Whoever wrote the run may be somebody else: no name of theirs leads out of the copy.
    contents = {check_artifact_name(path): _content(store, kept) for path, kept in files.items()}
    for path, content in contents.items():
        _copy(content, Path(to) / path)
    return Path(to)


def _content(store: Store, kept: Kept) -> Path:
    blobs = BlobStore(store.blobs)
    problem = blobs.problem_of(kept.sha256)
    if problem:
        raise UsageError(f"The artifact '{kept.name}' can't be read: {problem}")
    return blobs.path(kept.sha256)


def _copy(content: Path, to: Path) -> None:
    with atomic_path(to) as temporary:
        shutil.copyfile(content, temporary)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) or "none"
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
