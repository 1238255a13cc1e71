"""The board that workers write and others read."""

from pathlib import Path

import pytest

from steelyard.domain.bench.leases import LeaseBook
from steelyard.domain.bench.messages import Lease
from steelyard.kernel.errors import FileError
from steelyard.runtime.board import Board, Cell


def test_what_a_worker_stores_others_read(tmp_path: Path) -> None:
    """Counts and lease cursors pass through the file, worker by worker."""
    ours = Board(tmp_path / "board", 2, create=True)
    theirs = Board(tmp_path / "board", 2)
    theirs.row(1)[Cell.SENT] = 7
    book = LeaseBook(theirs.lease_cells(1))
    book.add(Lease(lease_id=3, epoch=0, phase=0, index_from=5, index_to=9, stride=2, expires_ns=0))
    theirs.row(1)[Cell.LAST_LEASE] = book.last_lease
    assert book.take() == 5
    assert ours.row(1)[Cell.SENT] == 7
    assert ours.row(0)[Cell.SENT] == 0
    assert (ours.leases(1), ours.last_lease(1)) == ({3: 7}, 3)
    assert (ours.leases(0), ours.last_lease(0)) == ({}, 0)
    ours.close()
    theirs.close()


def test_a_new_board_begins_at_zero(tmp_path: Path) -> None:
    """What an earlier run left in the file is gone."""
    old = Board(tmp_path / "board", 1, create=True)
    old.row(0)[Cell.SENT] = 7
    old.close()
    new = Board(tmp_path / "board", 1, create=True)
    assert new.row(0)[Cell.SENT] == 0
    new.close()


def test_no_board_is_a_clear_error(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(FileError, match="board"):
        Board(tmp_path / "nowhere" / "board", 1, create=True)
