"""What workers themselves said: a file for each, which is bounded and goes with its worker."""

import logging
import os
import stat
from collections.abc import Collection
from pathlib import Path

from steelyard.runtime.fleet.output_files import Gone

_log = logging.getLogger("steelyard.fleet")
SUFFIX = ".log"
BYTES_MAX = 16_000_000
"""A log that is longer keeps its last `BYTES_KEPT` only: plugins may say something all the time."""
BYTES_KEPT = 1_000_000


def log_of(directory: Path, worker_id: str) -> Path:
    """Return the log of a worker in a directory of a fleet."""
    return directory / f"{worker_id}{SUFFIX}"


def remove_logs(directory: Path, workers: Collection[str], *, dry_run: bool) -> Gone:
    """Remove the logs of workers that are no more."""
    gone = Gone()
    for worker_id in workers:
        path = log_of(directory, worker_id)
        size = _size(path) if path.parent == directory else None
        if size is None:
            continue
        try:
            if not dry_run:
                path.unlink()
        except OSError:
            gone += Gone(left=1)
        else:
            gone += Gone(bytes=size)
    return gone


def logs_before(directory: Path, before_ns: int, workers: Collection[str]) -> list[str]:
    """Return the workers, other than these, whose logs did not change since a Unix time."""
    found = [path for path in directory.glob(f"*{SUFFIX}") if path.stem not in workers]
    times = [(path, path.lstat()) for path in found if path.is_file() and not path.is_symlink()]
    return [path.stem for path, status in times if status.st_mtime_ns < before_ns]


def cut_logs(directory: Path, workers: Collection[str]) -> Gone:
    """Have logs that are too long begin later, though their workers write them.

    Returns:
        what is left as it is, as it can't be written.
    """
    gone = Gone()
    for worker_id in workers:
        path = log_of(directory, worker_id)
        size = _size(path) if path.parent == directory else None
        if size is not None and size > BYTES_MAX:
            try:
                _cut(path, size)
            except FileNotFoundError:
                continue  # it went by itself
            except OSError as error:
                _log.warning("The log %s is too long and can't be cut: %s", path, error)
                gone += Gone(left=1)
    return gone


def _cut(path: Path, size: int) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb+", buffering=0) as file:
        last = os.pread(file.fileno(), BYTES_KEPT, size - BYTES_KEPT)
        file.truncate(0)
        file.write(last[last.find(b"\n") + 1 :])


def _size(path: Path) -> int | None:
    """Return how long a file is; None of what is none, such as a link."""
    try:
        status = path.lstat()
    except (OSError, ValueError):  # the latter of a name that no file can have
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
