"""A data set's store on a machine other than its writer's: the same bytes, as they come."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from steelyard.domain.bench.plan import SCHEDULE_FILE
from steelyard.kernel.errors import FileError
from steelyard.runtime.dataset_store import DATA_NAME, INDEX_NAME
from steelyard.runtime.files import next_step_of, reason_of

SCHEDULE_NAME = Path(SCHEDULE_FILE).name
FILES = frozenset({DATA_NAME, INDEX_NAME, SCHEDULE_NAME})
"""What may be asked for: nothing else of the machine is for others."""

Ask = Callable[[str, int], Awaitable[bytes]]


class DatasetMirror:
    """Copies what is new, a piece at a time.

    The index goes first in time and last to the disk: what it names is there, as the writer's own.

    Args:
        directory: where the copy lies; made if needed.
        ask: returns the next bytes of a file from an offset on, none at its end.

    Raises:
        FileError: the copy can't be written (all methods).
    """

    def __init__(self, directory: Path, ask: Ask) -> None:
        self.directory = directory
        self._ask = ask
        self._have = dict.fromkeys((DATA_NAME, INDEX_NAME, SCHEDULE_NAME), 0)

    async def follow(self, *, complete: bool) -> None:
        """Bring the copy up to what is written now; with the schedule when that is all."""
        index = await self._rest(INDEX_NAME)
        await self._copy(DATA_NAME)
        if complete:
            await self._copy(SCHEDULE_NAME)
        self._append(INDEX_NAME, index)

    async def _rest(self, name: str) -> bytes:
        parts: list[bytes] = []
        at = self._have[name]
        while piece := await self._ask(name, at):
            parts.append(piece)
            at += len(piece)
        return b"".join(parts)

    async def _copy(self, name: str) -> None:
        while piece := await self._ask(name, self._have[name]):
            self._append(name, piece)

    def _append(self, name: str, data: bytes) -> None:
        path = self.directory / name
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
        except OSError as error:
            raise FileError(
                f"Can't write the data set's copy {path}: {reason_of(error)}",
                next_step=next_step_of(error) or "Choose another directory with --scratch.",
            ) from error
        self._have[name] += len(data)


def read_piece(directory: Path, name: str, offset: int, size: int) -> bytes:
    """Return up to `size` bytes of a file of the store; none when it is not there or ends there.

    Raises:
        FileError: it is no file of the store, or can't be read.
    """
    if name not in FILES or offset < 0:
        raise FileError("Only the files of the data set can be read", got=name)
    try:
        fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise FileError(f"Can't read {name} of the data set: {reason_of(error)}") from error
    finally:
        os.close(fd)
