"""One run to a directory: a lock that the kernel lets go of when the run's last process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.kernel.errors import UsageError


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Hold the directory itself for as long as the block; forked roles hold it with us.

    Raises:
        UsageError: a run, or a report of one, holds it.
        OSError: there is no such directory.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "A run is under way in this artifact directory",
                got=str(directory),
                expected="a directory that no run or report is using",
                next_step="Wait for its end, or choose another with --artifact-dir.",
            ) from None
        yield
    finally:
        os.close(fd)
