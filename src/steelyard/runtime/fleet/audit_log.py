"""Who did what at a fleet's service, and who was refused: JSON lines, bounded, no secrets."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from steelyard.kernel.errors import FileError
from steelyard.runtime.files import next_step_of, reason_of

BYTES_MAX = 10_000_000
FILES_KEPT = 5


class AuditLog:
    """Appends to `path`, readable by its owner only; full files become `path.1`, `path.2`, ...

    Args:
        path: in a directory that is made where it is missing.

    Attributes:
        lost: lines that could not be written; the service goes on without them.

    Raises:
        FileError: the file can't be made.
    """

    def __init__(self, path: Path, *, bytes_max: int = BYTES_MAX, kept: int = FILES_KEPT) -> None:
        self.path, self.lost = path, 0
        self._bytes_max, self._kept = bytes_max, kept
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = _open(path)
        except OSError as error:
            raise FileError(
                f"Can't write the audit log {path}: {reason_of(error)}",
                next_step=next_step_of(error),
            ) from error

    def note(self, **facts: Any) -> None:
        """Append a line of these facts, plain values."""
        line = json.dumps(facts, ensure_ascii=True, default=str).encode() + b"\n"
        with self._lock:
            try:
                if os.fstat(self._fd).st_size + len(line) > self._bytes_max:
                    self._turn_over()
                os.write(self._fd, line)
            except OSError:
                self.lost += 1

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            # Its number may be another file's at once: what is noted from here on is lost, no more.
            over, self._fd = self._fd, -1
            os.close(over)

    def _turn_over(self) -> None:
        """Begin a new file; where none can be made, all stay as they are."""
        place = self.path.with_name(f"{self.path.name}.new")
        fresh = _open(place)
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        place.replace(self.path)
        # The old number may be given to a client's connection at once: nothing writes to it again.
        full, self._fd = self._fd, fresh
        os.close(full)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _open(path: Path) -> int:
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
