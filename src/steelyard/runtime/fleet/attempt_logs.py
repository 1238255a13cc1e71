"""What attempts wrote to stdout and stderr: kept in files of bounded size, and followed in them.

A file holds an output's beginning as it comes. What is beyond the bound is not in it until the
attempt ends: then a line says how much was left out, and the last part follows.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote, unquote

from steelyard.domain.fleet.attempts import TAIL_MAX

STREAMS = ("stdout", "stderr")
_POLL_S = 0.1
_CHUNK = 1 << 16
_SLASH = ","
"""What stands for a slash in the name of a directory: no id of a task has one."""
_AS_THEY_ARE = ":+@="
_ATTEMPT = re.compile(r"[0-9]+-[0-9]+")


def task_directory(directory: Path, task_id: str) -> Path:
    """Return where the attempts of a task are, in the directory of a fleet.

    No id that a coordinator takes is longer as a name than a directory may be called.
    """
    name = quote(task_id, safe=f" {_AS_THEY_ARE}/").replace("/", _SLASH) or "%"
    return directory / "attempts" / (name if not name.startswith(".") else f"%2E{name[1:]}")


def task_of(name: str) -> str:
    """Return the id of the task whose directory has this name."""
    return unquote(name.replace(_SLASH, "/"))


def attempt_directory(directory: Path, task_id: str, attempt: int, token: int) -> Path:
    """Return where an attempt's files are: its outputs, and its working directory `work`."""
    return task_directory(directory, task_id) / f"{attempt}-{token}"


def log_path(attempt: Path, stream: str) -> Path:
    """Return the file of an attempt's `stdout` or `stderr`."""
    return attempt / f"{stream}.log"


def attempts_of(directory: Path, task_id: str) -> list[Path]:
    """Return the directories of a task's attempts, the first first."""
    place = task_directory(directory, task_id)
    entries = place.iterdir() if place.is_dir() else ()
    # A program may make others beside its own.
    found = [each for each in entries if _ATTEMPT.fullmatch(each.name) and each.is_dir()]
    return sorted(found, key=lambda entry: [int(n) for n in entry.name.split("-")])


class LogSink:
    """One output of an attempt.

    Args:
        path: of the file.
        bytes_max: of the output's beginning that is kept; its last `TAIL_MAX` are too.

    Attributes:
        stream: what it is an output to.
        error: why not all of it is in the file, empty as long as it is.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._left = bytes_max
        self._beyond = 0
        self._tail = bytearray()
        self.stream, self.error = path.stem, ""

    def write(self, data: bytes) -> None:
        """Take what was written; a disk that is full is remembered in `error`."""
        self._tail += data
        del self._tail[:-TAIL_MAX]
        kept = data[: self._left]
        self._left -= len(kept)
        self._beyond += len(data) - len(kept)
        self._put(kept)

    def tail(self) -> bytes:
        """Return the last bytes."""
        return bytes(self._tail)

    def close(self) -> None:
        """Add the end of an output that was too long."""
        if self._beyond:
            last = bytes(self._tail[-min(self._beyond, TAIL_MAX) :])
            left_out = self._beyond - len(last)
            if left_out:
                self._put(f"\n[steelyard: {left_out} bytes were left out here]\n".encode())
            self._put(last)
        os.close(self._fd)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self.error:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                self.error = (error.strerror or str(error)).lower()


async def follow(
    path: Path, has_ended: Callable[[], bool], offset: int = 0
) -> AsyncIterator[bytes]:
    """Yield what is in a log from `offset` on, and what comes to it, until its attempt has ended.

    A file that is not there yet is waited for.
    """
    while True:
        ended = has_ended()  # asked first: what was written before is read below
        data = await asyncio.to_thread(read_log, path, offset)
        while data:
            offset += len(data)
            yield data
            data = await asyncio.to_thread(read_log, path, offset)
        if ended:
            return
        await asyncio.sleep(_POLL_S)


def read_log(path: Path, offset: int = 0, bytes_max: int = _CHUNK) -> bytes:
    """Return bytes of a log, none where there are no more or no log."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(bytes_max)
    except FileNotFoundError:
        return b""
