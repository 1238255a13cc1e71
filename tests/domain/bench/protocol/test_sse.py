"""Server-sent events, split anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.protocol.sse import SseParser

STREAM = (
    b": a comment\n\ndata: one\n\nevent: delta\ndata: two\ndata: lines\n\n"
    b'id: 7\r\nretry: 10\r\ndata:no space\r\n\r\ndata: {"a": "\xc3\xa9"}\n\ndata: [DONE]\n\n'
)
EVENTS = [b"one", b"two\nlines", b"no space", b'{"a": "\xc3\xa9"}', b"[DONE]"]


def parse(pieces: list[bytes]) -> list[bytes]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def test_a_stream_in_one_piece() -> None:
    """Comments, other fields, CRLF and several data lines are read as the standard says."""
    assert parse([STREAM]) == EVENTS


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_a_split_at_any_byte_changes_nothing(at: int) -> None:
    """Wherever the network cuts, the events are the same."""
    assert parse([STREAM[:at], STREAM[at:]]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_number_of_splits_changes_nothing(cuts: list[int]) -> None:
    """Several cuts, some of them empty pieces, give the same events."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parse([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


def test_the_usual_shape_takes_the_short_way() -> None:
    """One data line an event, several events a piece."""
    assert SseParser().feed(b"data: a\n\ndata: b\n\n") == [b"a", b"b"]


def test_an_event_without_its_blank_line_is_given_at_the_end() -> None:
    """A server that closes right after `data: [DONE]` is understood."""
    assert parse([b"data: x\n\ndata: [DONE]\n"]) == [b"x", b"[DONE]"]
    assert parse([b"data: x\n\ndata: [DONE]"]) == [b"x", b"[DONE]"]


def test_a_byte_order_mark_is_skipped_even_when_split() -> None:
    """The mark may come byte by byte."""
    assert parse([b"\xef", b"\xbb", b"\xbfdata: x\n\n"]) == [b"x"]


def test_a_lone_carriage_return_ends_a_line() -> None:
    """CR alone is a line end, also when it is the last byte of a piece."""
    assert parse([b"data: x\r\rdata: y\r", b"\r"]) == [b"x", b"y"]


def test_a_line_may_come_in_very_many_pieces() -> None:
    """Each is kept as it came until the line's end is there, instead of copying all at each."""
    pieces = [b"data: "] + [b"x" * 200] * 30_000
    assert parse([b"data: first\n\n", *pieces, b"\n\n"]) == [b"first", b"x" * 6_000_000]


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_carriage_return_at_a_pieces_end_waits_for_one_piece_only(cut: int) -> None:
    """The next piece tells whether a line feed belongs to it, even one that ends no line."""
    stream = b"data: a\r\rdata: b"
    parser = SseParser()
    parser.feed(b"data: first\n\n")
    assert parser.feed(stream[:9]) + parser.feed(stream[9 : 9 + cut]) == [b"a"]


def test_an_error_line_is_read_as_the_data_that_says_so() -> None:
    """Else a stream that failed would count as a short success."""
    line = b'error: {"code":500,"message":"no slot"}\n\n'
    assert parse([line]) == [b'{"error": {"code":500,"message":"no slot"}}']
