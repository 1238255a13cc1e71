"""The worker board: each worker's counters in shared memory, written without a message.

A small file mapped by everyone: the worker stores plain 64-bit integers, the controller and the
timing manager read them. It outlives a killed worker, so how far its leases were sent is known.
"""

import mmap
import os
from enum import IntEnum
from pathlib import Path

from steelyard.domain.bench.messages import LeaseAck
from steelyard.kernel.errors import FileError

LEASE_SLOTS = 32


class Cell(IntEnum):
    """What a worker's row holds, in order; lease slots (id, next index) follow."""

    SENT = 0
    COMPLETED = 1
    FAILED = 2
    CANCELLED = 3
    IN_FLIGHT = 4
    PHASE = 5
    LAST_LEASE = 6


def board_path(artifact_dir: Path) -> Path:
    """Return where the board of a run lies."""
    return artifact_dir / ".board"


_CELLS = len(Cell) + 2 * LEASE_SLOTS
_ROW_BYTES = 8 * _CELLS


def _mapped(path: Path, size: int, *, create: bool) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        if create:
            # Allocated, not only sized: a store into a hole of a full disk is a SIGBUS.
            os.ftruncate(fd, 0)
            os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


class Board:
    """Rows of counters, one per worker.

    Args:
        path: the file; created by the first to open it with `create`.
        workers: number of rows.

    Raises:
        FileError: it can't be made, or there is none.

    Only worker `w` writes row `w`; 8-byte aligned stores are seen whole by readers.
    """

    def __init__(self, path: Path, workers: int, *, create: bool = False) -> None:
        try:
            self._map = _mapped(path, _ROW_BYTES * max(1, workers), create=create)
        except OSError as error:
            raise FileError(
                f"Can't map the worker board {path}: {(error.strerror or str(error)).lower()}",
                next_step="Free some space, or choose another directory.",
            ) from error
        self._view = memoryview(self._map).cast("q")
        self._given: list[memoryview] = []

    def row(self, worker: int) -> memoryview:
        """Return the worker's cells, writable, indexed by `Cell`."""
        return self._give(worker * _CELLS, (worker + 1) * _CELLS)

    def lease_cells(self, worker: int) -> memoryview:
        """Return the cells in which a `LeaseBook` keeps pairs (lease id, next unsent index)."""
        return self._give(worker * _CELLS + len(Cell), (worker + 1) * _CELLS)

    def _give(self, begin: int, end: int) -> memoryview:
        view = self._view[begin:end]
        self._given.append(view)
        return view

    def leases(self, worker: int) -> dict[int, int]:
        """Return lease id -> next unsent index, as the worker last stored it."""
        begin = worker * _CELLS
        cells = range(begin + len(Cell), begin + _CELLS, 2)
        return {self._view[cell]: self._view[cell + 1] for cell in cells if self._view[cell]}

    def last_lease(self, worker: int) -> int:
        """Return the highest lease id that the worker has received."""
        return self._view[worker * _CELLS + Cell.LAST_LEASE]

    def set_counts(self, ack: LeaseAck) -> None:
        """Write down the counts of a worker that keeps its cells on another machine."""
        begin = ack.worker * _CELLS
        for cell, count in (
            (Cell.PHASE, ack.phase),
            (Cell.SENT, ack.sent),
            (Cell.COMPLETED, ack.completed),
            (Cell.FAILED, ack.failed),
            (Cell.CANCELLED, ack.cancelled),
            (Cell.IN_FLIGHT, ack.in_flight),
        ):
            self._view[begin + cell] = count

    def set_leases(self, worker: int, leases: dict[int, int], last_lease: int) -> None:
        """Write down how far a worker was that keeps its cells on another machine.

        Leases beyond `LEASE_SLOTS` have no room and count as done, as on any board.
        """
        begin = worker * _CELLS
        pairs = list(leases.items())[:LEASE_SLOTS]
        for slot in range(LEASE_SLOTS):
            lease_id, index = pairs[slot] if slot < len(pairs) else (0, 0)
            cell = begin + len(Cell) + 2 * slot
            self._view[cell + 1] = index
            self._view[cell] = lease_id
        self._view[begin + Cell.LAST_LEASE] = last_lease

    def close(self) -> None:
        """Unmap the board; rows given out can't be used any more."""
        for view in self._given:
            view.release()
        self._view.release()
        self._map.close()
