"""Artifacts by content: each content once, byte for byte, under its SHA-256."""

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

import msgspec

from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.files import next_step_of, reason_of, sync_directory

CHUNK_BYTES = 1024 * 1024
YOUNG_S = 3600.0
"""Content younger than this is never garbage: its run may be about to name it."""


class Blob(msgspec.Struct, frozen=True):
    """A content that is in the store; one that never got there whole has no `sha256`."""

    sha256: str
    size: int
    path: str


class BlobStore:
    """Holds contents below a directory; several processes may add at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, sha256: str) -> Path:
        """Return where the content with this hash lies, or would."""
        return self.directory / sha256[:2] / sha256

    def put_file(self, source: Path) -> Blob:
        """Copy a file in as it is now.

        Raises:
            UsageError: there is no such file, or it can't be read.
            FileError: it can't be stored.
        """
        try:
            # Without waiting: nobody may ever write into a pipe.
            file = os.fdopen(os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except OSError as error:
            raise _unreadable(source, reason_of(error)) from error
        with file:
            kind = _kind(os.fstat(file.fileno()).st_mode)
            if kind:
                raise _unreadable(source, f"it is {kind}")
            try:
                return self._put(file)
            except OSError as error:
                raise _unreadable(source, reason_of(error)) from error

    def put_bytes(self, data: bytes) -> Blob:
        """Store `data`.

        Raises:
            FileError: it can't be stored.
        """
        import io

        return self._put(io.BytesIO(data))

    def _put(self, source: BinaryIO) -> Blob:
        temporary = self.directory / f".{secrets.token_hex(8)}.tmp"
        digest, size = hashlib.sha256(), 0
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            target_file = temporary.open("xb")
            # Held until it is closed, or its process dead: what shows others that it is not garbage
            fcntl.flock(target_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise _refusal(self.directory, error) from error
        try:
            with target_file:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    _write(target_file, chunk, self.directory)
            return self._publish(temporary, digest.hexdigest(), size)
        finally:
            temporary.unlink(missing_ok=True)

    def _publish(self, temporary: Path, sha256: str, size: int) -> Blob:
        target = self.path(sha256)
        try:
            if target.is_file() and target.stat().st_size == size:
                os.utime(target)  # whoever collects garbage sees that it is wanted again
            else:
                target.parent.mkdir(exist_ok=True)
                temporary.chmod(0o444)
                fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
                temporary.replace(target)
                sync_directory(target.parent)
        except OSError as error:
            raise _refusal(target, error) from error
        return Blob(sha256, size, str(target))

    def problem_of(self, sha256: str) -> str:
        """Return what is wrong with a content, read anew; empty when it is as it was stored."""
        digest = hashlib.sha256()
        try:
            with self.path(sha256).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            return reason_of(error)
        return "" if digest.hexdigest() == sha256 else "its content has changed"

    def all(self) -> Iterator[Blob]:
        """Yield every content in the store."""
        for path in sorted(self.directory.glob("??/*")):
            yield Blob(path.name, path.stat().st_size, str(path))

    def unfinished(self, *, young_s: float = YOUNG_S) -> list[Blob]:
        """Return copies older than `young_s` seconds that a process left half when it died."""
        oldest = time.time() - young_s
        found = []
        for path in sorted(self.directory.glob(".*.tmp")):
            try:
                status = path.lstat()
                is_old = stat.S_ISREG(status.st_mode) and status.st_mtime < oldest
                if is_old and not _is_written(path):
                    found.append(Blob("", status.st_size, str(path)))
            except FileNotFoundError:  # it has its own name by now
                continue
        return found

    def unreferenced(self, referenced: AbstractSet[str], *, young_s: float = YOUNG_S) -> list[Blob]:
        """Return the contents that no run names and that are older than `young_s` seconds."""
        oldest = time.time() - young_s
        return [
            blob
            for blob in self.all()
            if blob.sha256 not in referenced and Path(blob.path).stat().st_mtime < oldest
        ]


def _is_written(path: Path) -> bool:
    # Whoever copies holds a shared lock, so only an exclusive one shows it; a journal's is another.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _kind(mode: int) -> str:
    """Return what a file is that holds no content; empty for one that does."""
    kinds = {
        stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a directory",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "")


def _unreadable(source: Path, why: str) -> UsageError:
    return UsageError(f"Can't read {source}: {why}", expected="a file that can be read")


def _write(file: BinaryIO, chunk: bytes, directory: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise _refusal(directory, error) from error


def _refusal(path: Path, error: OSError) -> FileError:
    return FileError(
        f"Can't store an artifact in {path}: {reason_of(error)}", next_step=next_step_of(error)
    )
