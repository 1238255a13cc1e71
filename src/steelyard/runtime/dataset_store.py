"""Conversations on disk: written once, piece by piece, read at random by any number of processes.

Two files in a directory. `conversations.data` holds MessagePack, one conversation after another.
`conversations.index` starts with a mark and then has, per conversation, the end of its bytes as a
little-endian u64. Data is written before its index, so an entry in the index can be read.
"""

import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from steelyard.domain.bench.conversation import Conversation
from steelyard.kernel.errors import FileError
from steelyard.runtime.files import reason_of

DATA_NAME = "conversations.data"
INDEX_NAME = "conversations.index"
_MARK = b"STYDS001"
_ENTRY_BYTES = 8
_BUFFER_BYTES = 1 << 20


class DatasetStoreWriter:
    """The one writer. `flush` before telling readers of new entries.

    Raises:
        FileError: the directory or its files can't be written (all methods).
    """

    def __init__(self, directory: Path) -> None:
        """Create the directory if needed and start both files anew."""
        self._directory = directory
        self._encoder = msgspec.msgpack.Encoder()
        self._ends = array("Q")
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._end = 0
        self.entries = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._data = os.open(directory / DATA_NAME, flags, 0o644)
            self._index = os.open(directory / INDEX_NAME, flags, 0o644)
        except OSError as problem:
            raise self._failed(problem) from problem
        self._write(self._index, _MARK)

    def append(self, conversation: Conversation) -> int:
        """Add one conversation; return its entry number."""
        return self.append_encoded(self._encoder.encode(conversation))

    def append_encoded(self, data: bytes) -> int:
        """Add one conversation as a store holds it; return its entry number."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        self._end += len(data)
        self._ends.append(self._end)
        self.entries += 1
        if self._pending_bytes >= _BUFFER_BYTES:
            self.flush()
        return self.entries - 1

    def flush(self) -> None:
        """Make every entry so far readable."""
        if not self._pending:
            return
        self._write(self._data, b"".join(self._pending))
        self._write(self._index, _little_endian(self._ends).tobytes())
        self._pending.clear()
        self._pending_bytes = 0
        self._ends = array("Q")

    def finish(self) -> None:
        """Flush and close; calling it again does nothing."""
        if self._data < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._data)
            os.close(self._index)
            self._data = self._index = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def _write(self, fd: int, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError as problem:
            raise self._failed(problem) from problem

    def _failed(self, problem: OSError) -> FileError:
        return FileError(f"Can't write the dataset in {self._directory}: {reason_of(problem)}")


class DatasetStoreReader:
    """Reads entries with pread; open it in the process that reads.

    Raises:
        FileError: the files are missing, or not what a writer leaves.
    """

    def __init__(self, directory: Path) -> None:
        """Open both files."""
        self._directory = directory
        self._decoder = msgspec.msgpack.Decoder(Conversation)
        self._ends = array("Q", [0])
        try:
            self._data = os.open(directory / DATA_NAME, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as problem:
            raise self._unreadable(reason_of(problem)) from problem
        try:
            self._index = os.open(directory / INDEX_NAME, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as problem:
            os.close(self._data)
            raise self._unreadable(reason_of(problem)) from problem
        if os.pread(self._index, len(_MARK), 0) != _MARK:
            self.close()
            raise self._unreadable("its index has not our mark")

    @property
    def entries(self) -> int:
        """How many entries this reader knows of; `ready` and `read` look for more."""
        return len(self._ends) - 1

    def ready(self, entries: int) -> bool:
        """Return True when entries `0..entries` may be read; looks at the index if it must."""
        while self.entries < entries:
            at = len(_MARK) + self.entries * _ENTRY_BYTES
            data = os.pread(self._index, _BUFFER_BYTES, at)
            fresh = array("Q")
            fresh.frombytes(data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES])
            if not fresh:
                return False
            self._ends.extend(_little_endian(fresh))
        return True

    def read(self, entry: int) -> Conversation:
        """Return one conversation.

        Raises:
            IndexError: `entry` is negative or not ready.
            FileError: its bytes are missing or damaged.
        """
        try:
            return self._decoder.decode(self.read_encoded(entry))
        except msgspec.DecodeError as problem:
            raise self._unreadable(f"entry {entry} is damaged") from problem

    def read_encoded(self, entry: int) -> bytes:
        """Return one conversation as the store holds it.

        Raises:
            IndexError: `entry` is negative or not ready.
            FileError: the index is damaged.
        """
        if entry < 0 or (entry >= self.entries and not self.ready(entry + 1)):
            message = f"entry {entry} of a dataset with {self.entries} ready entries"
            raise IndexError(message)
        begin, end = self._ends[entry], self._ends[entry + 1]
        if end < begin:
            raise self._unreadable(f"the index runs backwards at entry {entry}")
        return os.pread(self._data, end - begin, begin)

    def close(self) -> None:
        """Close both files."""
        os.close(self._data)
        os.close(self._index)

    def _unreadable(self, why: str) -> FileError:
        return FileError(f"Can't read the dataset in {self._directory}: {why}")


def reorder(directory: Path, order: Iterable[int]) -> Iterator[int]:
    """Put the entries of a finished store in another order; yield after each, for others' turns.

    The store of before is there until the last entry is written; nobody may be reading it.

    Args:
        directory: of the store.
        order: numbers of its entries, in the order wanted.

    Raises:
        FileError: the store can't be read or written.
    """
    fresh = directory / "in_order"
    reader = DatasetStoreReader(directory)
    try:
        with DatasetStoreWriter(fresh) as writer:
            for entry in order:
                yield writer.append_encoded(reader.read_encoded(entry))
    finally:
        reader.close()
    try:
        for name in (DATA_NAME, INDEX_NAME):
            (fresh / name).replace(directory / name)
        fresh.rmdir()
    except OSError as problem:
        raise FileError(
            f"Can't order the dataset in {directory}: {reason_of(problem)}"
        ) from problem


def _little_endian(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values.byteswap()
    return values
