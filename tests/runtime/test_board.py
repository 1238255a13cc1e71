"""The board that workers write and others read."""

from pathlib import Path

import pytest

from steelyard.domain.bench.leases import LeaseBook
from steelyard.domain.bench.messages import Lease, LeaseAck
from steelyard.kernel.errors import FileError
from steelyard.runtime.board import LEASE_SLOTS, Board, Cell


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


def test_what_is_told_of_a_worker_elsewhere_stands_where_a_worker_here_would_write(
    tmp_path: Path,
) -> None:
    """Counts and leases of one row; what was there before is gone, the others are left alone."""
    board = Board(tmp_path / "board", 3, create=True)
    book = LeaseBook(board.lease_cells(1))
    book.add(Lease(lease_id=3, epoch=0, phase=0, index_from=5, index_to=9, stride=2, expires_ns=0))
    ack = LeaseAck(
        worker=1, phase=2, epoch=2, sent_to={}, last_lease=9, sent=8, completed=4, failed=2,
        cancelled=1, in_flight=1, sessions=8, idle=False,
    )  # fmt: skip
    board.set_counts(ack)
    board.set_leases(1, {7: 70, 8: 80}, 9)
    row = board.row(1)
    assert [row[cell] for cell in Cell] == [8, 4, 2, 1, 1, 2, 9]
    assert (board.leases(1), board.last_lease(1)) == ({7: 70, 8: 80}, 9)
    for other in (0, 2):
        assert not any(board.row(other))
    board.set_leases(1, {number: number for number in range(1, LEASE_SLOTS + 5)}, 99)
    assert len(board.leases(1)) == LEASE_SLOTS
    assert not any(board.row(2))
    board.close()
