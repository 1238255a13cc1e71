"""Where a report keeps its scratch files, and what happens when there is no room for them."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from steelyard.kernel.errors import FileError

BESIDE = ".results-"
"""Begins the names of scratch directories in artifact directories."""
ELSEWHERE = "steelyard-results-"
"""Begins their names in the system's directory of temporary files."""

_ELSEWHERE = "Free some space there, or set TMPDIR to a directory that has some."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

ROOM_MIN = 4 * 1024 * 1024
"""Bytes that scratch files may take whatever they hold: a block of each of their kinds."""


def scratch_places(directory: Path, data_bytes: int) -> tuple[Path, ...]:
    """Return where scratch files may go, best first: beside the artifacts, else with the system's.

    Args:
        directory: holds the artifacts; left out when it can't be written or has too little room.
        data_bytes: size of what the scratch file will hold.
    """
    system = Path(tempfile.gettempdir())
    try:
        has_room = shutil.disk_usage(directory).free >= ROOM_MIN + data_bytes
    except OSError:
        has_room = False
    beside = (directory,) if has_room and os.access(directory, os.W_OK | os.X_OK) else ()
    return (*beside, system)


def make_scratch(place: Path) -> Path:
    """Make a scratch directory for this process, and remove those of processes that are gone.

    Raises:
        FileError: it can't be made.
    """
    prefix = ELSEWHERE if place == Path(tempfile.gettempdir()) else BESIDE
    for old in place.glob(f"{prefix}*"):
        owner = old.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    scratch = place / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        scratch.mkdir(mode=0o700)
    except OSError as error:
        raise no_room(place, error.strerror or str(error)) from error
    return scratch


@contextmanager
def storage_errors(place: Path, next_step: str = _ELSEWHERE) -> Iterator[None]:
    """Turn what the system says of a disk without room into an error that names `place`.

    Raises:
        FileError: the block met the end of the disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise no_room(place, error.strerror or str(error), next_step) from error


def no_room(place: Path, reason: str, next_step: str = _ELSEWHERE) -> FileError:
    """Return the error for a file or directory that can't be written."""
    return FileError(f"Can't write {place}: {reason.lower()}", next_step=next_step)


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True
        return True
    return False
