"""Joins what the workers spooled into one file."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from steelyard.runtime.files import atomic_path
from steelyard.runtime.raw_spool import RAW_FOLDER

_BLOCK_BYTES = 1024 * 1024
_JOINED = f".{RAW_FOLDER}.joined"


def has_spools(directory: Path) -> bool:
    """Tell whether workers left something to join below the artifact directory."""
    return any((directory / RAW_FOLDER).glob("*.jsonl"))


def join_spools(directory: Path, path: Path) -> int:
    """Write all whole lines of the spools to `path`, by rename; return how many.

    A last line that a crash cut short is left out. The spools are removed when the file has its
    name, all at once, so that a crash in between leaves either.

    Raises:
        FileError: the file can't be written.
        OSError: a spool can't be read.
    """
    folder = directory / RAW_FOLDER
    with atomic_path(path) as temporary, temporary.open("xb") as joined:
        lines = sum(_append(spool, joined) for spool in sorted(folder.glob("*.jsonl")))
    gone = directory / _JOINED
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return lines


def count_lines(path: Path) -> int:
    """Return how many lines a file has.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in _blocks(file))


def _append(spool: Path, joined: BinaryIO) -> int:
    """Copy a spool as far as its lines are whole; return how many there are."""
    begin = joined.tell()
    lines, whole, size = 0, 0, 0
    with spool.open("rb") as file:
        for block in _blocks(file):
            joined.write(block)
            lines += block.count(b"\n")
            if (last := block.rfind(b"\n")) >= 0:
                whole = size + last + 1
            size += len(block)
    joined.flush()
    os.ftruncate(joined.fileno(), begin + whole)
    joined.seek(begin + whole)
    return lines


def _blocks(file: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: file.read(_BLOCK_BYTES), b"")
