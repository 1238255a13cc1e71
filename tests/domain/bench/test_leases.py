"""A worker's lease book."""

from steelyard.domain.bench.leases import LeaseBook
from steelyard.domain.bench.messages import Lease


def lease(number: int, index_from: int, index_to: int, stride: int = 1) -> Lease:
    return Lease(
        lease_id=number, epoch=0, phase=0, index_from=index_from, index_to=index_to,
        stride=stride, expires_ns=0,
    )  # fmt: skip


def test_the_lowest_index_goes_first_across_leases() -> None:
    """A reissued lease with earlier indices is sent before and between the one at hand."""
    book = LeaseBook()
    book.add(lease(1, 10, 16, 2))
    book.add(lease(2, 1, 14, 4))
    order = []
    while (index := book.take()) is not None:
        order.append(index)
    assert order == [1, 5, 9, 10, 12, 13, 14]
    assert book.unsent == 0


def test_cursors_say_how_far_each_open_lease_is() -> None:
    """A cursor is the first unsent index; a lease that is not open is done up to the last one."""
    book = LeaseBook()
    book.add(lease(1, 0, 2))
    book.add(lease(2, 2, 9))
    for _ in range(3):
        book.take()
    assert book.cursors() == {2: 3}
    assert book.last_lease == 2


def test_an_empty_lease_holds_nothing() -> None:
    """A lease without indices is done when it comes."""
    book = LeaseBook()
    book.add(lease(7, 5, 5))
    assert book.take() is None
    assert (book.cursors(), book.last_lease) == ({}, 7)


def test_the_cells_outlive_the_worker() -> None:
    """Whoever reads the cells after a kill knows each lease's first unsent index."""
    cells = [0] * 4
    book = LeaseBook(cells)
    book.add(lease(5, 0, 3))
    book.add(lease(6, 10, 20))
    for _ in range(4):
        book.take()
    assert dict(zip(cells[::2], cells[1::2], strict=True)) == {5: 3, 6: 11}
    book.add(lease(7, 30, 31))
    assert dict(zip(cells[::2], cells[1::2], strict=True)) == {7: 30, 6: 11}


def test_more_leases_than_cells_are_still_sent() -> None:
    """A lease without cells is sent as any other."""
    book = LeaseBook([0, 0])
    book.add(lease(1, 0, 2))
    book.add(lease(2, 2, 4))
    assert [book.take() for _ in range(5)] == [0, 1, 2, 3, None]


def test_a_share_that_is_sent_leaves_nothing_open() -> None:
    """What is spent counts as done for whoever reads the cells, and is sent by nobody."""
    cells = [0, 0]
    book = LeaseBook(cells)
    book.add(lease(4, 0, 100))
    book.take()
    book.spend_all()
    assert (book.unsent, book.cursors(), cells) == (0, {}, [4, 100])
