"""What W&B was sent and may have lost: it keeps up to 32 KiB in memory, and dies with its user."""

import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, Tags
from steelyard.kernel.errors import PluginError
from steelyard.runtime.files import write_atomic

_LENGTH = struct.Struct("<I")
_KINDS: dict[str, type[Logged]] = {"m": Metric, "p": Params, "t": Tags, "a": Artifact}
_LETTERS = {cls: letter for letter, cls in _KINDS.items()}

_BLOCK = 32 * 1024
_HEADER = struct.Struct("<IHB")
_FILE_HEADER = 7
_WHOLE, _LAST = 1, 4  # types of a fragment with which a record is complete


class Batch(msgspec.Struct, frozen=True):
    """Items of one delivery; `first_row` is the number of the first row they make."""

    first_row: int
    items: list[Logged]


class Before(msgspec.Struct, frozen=True):
    """What came before the batches: how many rows, and what a new part of the run begins with."""

    rows: int = 0
    config: dict[str, Any] = {}
    tags: dict[str, str] = {}


class SentFile:
    """Items in order, on the disk before W&B is told them; emptied when all are known to be there.

    A file of frames, each a length and MessagePack: what came before, then batches. A torn frame at
    the end was told to nobody.

    Args:
        path: of the file; made with its directories.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = Before()
        self.batches: list[Batch] = []
        self._file: io.FileIO | None = None

    def open(self) -> None:
        """Read what is there, and be ready for more."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            write_atomic(self.path, _frame(self.before))
        end = self._read(self.path.read_bytes())
        self._file = self.path.open("r+b", buffering=0)
        self._file.truncate(end)
        self._file.seek(end)

    def add(self, batch: Batch) -> None:
        """Append a batch; where that fails nothing of it stays."""
        file = self._opened()
        left = memoryview(_frame([batch.first_row, [_pair(item) for item in batch.items]]))
        place = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            file.truncate(place)
            file.seek(place)
            raise
        self.batches.append(batch)

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._opened().fileno())

    def clear(self, before: Before) -> None:
        """Forget all batches: they are where they belong, and part of what came before."""
        self.close()
        write_atomic(self.path, _frame(before))

    def close(self) -> None:
        """Close the file; what is in it stays."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise PluginError("The wandb backend is not open")
        return self._file

    def _read(self, data: bytes) -> int:
        """Take in the whole frames; return where they end."""
        frames: list[Any] = []
        place = 0
        while place + _LENGTH.size <= len(data):
            end = place + _LENGTH.size + _LENGTH.unpack_from(data, place)[0]
            if end > len(data):
                break
            frames.append(msgspec.msgpack.decode(data[place + _LENGTH.size : end]))
            place = end
        if not frames:
            raise PluginError(
                f"{self.path} is not what the wandb backend wrote",
                next_step="Remove it; what W&B has not had yet of this run is then not sent.",
            )
        first, *batches = frames
        self.before = msgspec.convert(first, Before)
        self.batches = [
            Batch(number, [_item(*pair) for pair in pairs]) for number, pairs in batches
        ]
        return place


def _frame(content: Any) -> bytes:
    data = msgspec.msgpack.encode(content)
    return _LENGTH.pack(len(data)) + data


def _pair(item: Logged) -> tuple[str, Logged]:
    return _LETTERS[type(item)], item


def _item(letter: str, fields: dict[str, Any]) -> Logged:
    return msgspec.convert(fields, _KINDS[letter])


class Resent:
    """Tells items that come again because their first delivery was never acknowledged."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._left = list(batches[-1].items) if batches else []

    def count(self, items: Sequence[Logged]) -> int:
        """Return how many from the front of `items` were sent before."""
        if not items:
            return 0
        left, self._left = self._left, []
        common = min(len(items), len(left))
        if not common or not all(map(_same, items[:common], left)):
            return 0
        self._left = left[common:]
        return common


def _same(one: Logged, other: Logged) -> bool:
    """Compare as written, where a NaN is like another."""
    return _pair(one)[0] == _pair(other)[0] and repr(one) == repr(other)


def rows_on_disk(directory: Path, run_id: str) -> int:
    """Return how many rows W&B has written of a run, over all its parts in `directory`.

    A part is a file of W&B's transaction log: LevelDB's log format with another file header, each
    record a protobuf message. Rows are numbered by us through all parts, so the last one tells.
    """
    parts = directory.glob(f"*run-*-{run_id}*/run-{run_id}.wandb")
    return max((_rows_in(path) for path in parts if path.is_file()), default=0)


def _rows_in(path: Path) -> int:
    from wandb.proto import wandb_internal_pb2

    rows = 0
    pieces: list[bytes] = []
    with path.open("rb") as file:
        left = _BLOCK - len(file.read(_FILE_HEADER))
        while True:
            if left < _HEADER.size:
                file.read(left)
                left = _BLOCK
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return rows
            _, length, kind = _HEADER.unpack(header)
            piece = file.read(length)
            if len(piece) < length or not kind:
                return rows
            left -= _HEADER.size + length
            pieces.append(piece)
            if kind in {_WHOLE, _LAST}:
                record = wandb_internal_pb2.Record.FromString(b"".join(pieces))
                pieces.clear()
                if record.HasField("history"):
                    rows = max(rows, record.history.step.num + 1)
