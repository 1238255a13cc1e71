"""Files that are there whole or not at all: write beside, fsync, rename."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.kernel.errors import FileError

_STORAGE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_NEXT_STEPS = {
    errno.ENOSPC: "Free some space, or choose another directory.",
    errno.EDQUOT: "Free some of your quota, or choose another directory.",
    errno.EFBIG: "Raise the limit on file size (ulimit -f), or choose another directory.",
    errno.EROFS: "Choose a directory that can be written.",
    errno.EACCES: "Change its permissions, or choose another directory.",
    errno.EPERM: "Change its permissions, or choose another directory.",
    errno.EEXIST: "Choose a path whose parents are directories.",
    errno.ENOTDIR: "Choose a path whose parents are directories.",
    errno.EISDIR: "Choose a path that is not a directory.",
}


def next_step_of(error: OSError) -> str | None:
    """Return what a person can do about a failed write, when its errno tells."""
    return _NEXT_STEPS.get(error.errno or 0)


def reason_of(error: OSError) -> str:
    """Return the system's words for `error`, without paths."""
    return (error.strerror or type(error).__name__).lower()


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable.

    Raises:
        OSError: it can't be opened or synced.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    Missing parent directories are made, and a symlink keeps pointing where it did. The temporary
    name keeps the suffix of `path`, for writers that go by it. On success the file is synced,
    renamed, and its directory synced; on any error the temporary file is removed and `path` stays
    as it was.

    Raises:
        FileError: the file can't be written, or the block wrote nothing.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}.tmp{target.suffix}")
    with _errors_naming(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            yield temporary
        except OSError as error:
            # The block may fail for reasons of its own (a socket, another file): those pass.
            unnamed_storage = error.filename is None and error.errno in _STORAGE_ERRNOS
            if error.filename != os.fspath(temporary) and not unnamed_storage:
                raise
            raise _file_error(path, error) from error
        with _errors_naming(path):
            _publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _file_error(path, error) from error


def _file_error(path: Path, error: OSError) -> FileError:
    return FileError(f"Can't write {path}: {reason_of(error)}", next_step=next_step_of(error))


def _publish(temporary: Path, target: Path) -> None:
    try:
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        message = f"Can't write {target}: nothing was written to its temporary file"
        raise FileError(message) from error
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(target)
    sync_directory(target.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old content or all of the new.

    Raises:
        FileError: the disk is full, a permission is missing, or `path` is a directory; `path` is
            then as it was.
    """
    with atomic_path(path) as temporary, temporary.open("xb") as file:
        file.write(data)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on.

    Raises:
        FileError: it can't be written.
    """
    with atomic_path(path) as temporary:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(temporary, flags, 0o600))
        temporary.write_bytes(data)
