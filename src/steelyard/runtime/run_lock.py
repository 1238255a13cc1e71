"""One run to a directory: a lock that the kernel lets go of when the run's last process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.kernel.errors import UsageError

LOCK_NAME = ".lock"
_HOLDER_BYTES_MAX = 200


@contextmanager
def run_lock(directory: Path, holder: str) -> Iterator[None]:
    """Hold the directory for as long as the block; forked roles hold it with us.

    Args:
        directory: of the artifacts; it must exist.
        holder: what to tell others, such as a run's id.

    Raises:
        UsageError: another run holds it; the message names that run.
        OSError: the lock file can't be made.
    """
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(fd, _HOLDER_BYTES_MAX).decode("utf-8", "replace").strip()
            raise UsageError(
                f"A run is under way in the artifact directory {directory}",
                got=other or "a run that does not say its name",
                expected="a directory that no run is using",
                next_step="Wait for its end, or choose another with --artifact-dir.",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, holder.encode())
        yield
    finally:
        os.close(fd)
