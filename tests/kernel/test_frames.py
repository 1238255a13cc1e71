import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.frames import (
    FILE_HEADER_SIZE,
    FRAME_HEADER_SIZE,
    MAX_PAYLOAD,
    Corrupt,
    Frame,
    FrameType,
    Incomplete,
    check_file_header,
    file_header,
    frame_candidates,
    frame_header,
    parse_frame,
    stream_number,
)

payloads = st.binary(max_size=300)


def frame(payload: bytes, seq: int = 7, stream: int = 3) -> bytes:
    return frame_header(FrameType.EVENT, stream, seq, payload) + payload


@given(
    payload=payloads,
    seq=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**16 - 1),
    kind=st.sampled_from(FrameType),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_a_frame_is_read_back_wherever_it_lies(payload, seq, stream, kind, before, after):
    data = before + frame_header(kind, stream, seq, payload) + payload + after
    read = parse_frame(memoryview(data), len(before))
    assert isinstance(read, Frame)
    assert (read.type, read.stream, read.seq, bytes(read.payload)) == (kind, stream, seq, payload)
    assert read.size == FRAME_HEADER_SIZE + len(payload)


@given(parts=st.lists(payloads, max_size=4))
def test_a_payload_in_parts_has_the_header_of_the_whole(parts):
    whole = b"".join(parts)
    assert frame_header(FrameType.RECORDS, 1, 2, *parts) == frame_header(
        FrameType.RECORDS, 1, 2, whole
    )


@given(payload=payloads, data=st.data())
def test_no_single_changed_byte_gets_through(payload, data):
    good = frame(payload)
    at = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = bytearray(good)
    bad[at] ^= flip
    assert not isinstance(parse_frame(memoryview(bad), 0), Frame)


@given(payload=payloads, data=st.data())
def test_a_cut_frame_says_how_much_it_needs(payload, data):
    whole = frame(payload)
    cut = data.draw(st.integers(0, len(whole) - 1))
    read = parse_frame(memoryview(whole[:cut]), 0)
    assert read == Incomplete(len(whole) if cut >= FRAME_HEADER_SIZE else FRAME_HEADER_SIZE)


def test_a_length_above_the_limit_is_refused_before_anything_is_read():
    """19 + 4 bytes that claim 4 GiB must not make a reader wait for 4 GiB."""
    header = (0xFFFFFFFF).to_bytes(4, "little") + frame(b"")[4:]
    assert parse_frame(memoryview(header + b"xxxx"), 0) == Corrupt(
        f"frame length {0xFFFFFFFF} is above the limit of {MAX_PAYLOAD}"
    )


def test_a_writer_can_not_make_a_frame_that_no_reader_takes():
    half = bytes(MAX_PAYLOAD // 2)
    with pytest.raises(ValueError, match="at most"):
        frame_header(FrameType.RECORDS, 0, 0, half, half, b"x")


def test_zeros_are_no_frame():
    """A machine that lost power may leave a file of the right length, full of zeros."""
    assert isinstance(parse_frame(memoryview(bytes(64)), 0), Corrupt)


def test_the_file_header_is_checked_byte_by_byte():
    good = file_header()
    assert len(good) == FILE_HEADER_SIZE
    assert check_file_header(good) is None
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        assert check_file_header(bytes(bad)) is not None
        assert check_file_header(good[:at]) is not None


def test_another_format_version_is_named():
    head = file_header()[:8] + (2).to_bytes(2, "little") + bytes(2)
    crc = crc32c(head).to_bytes(4, "little")
    assert "version 2" in (check_file_header(head + crc) or "")


def test_candidates_include_every_frame_behind_the_damage():
    frames = [frame(b"abc", seq) for seq in range(5)]
    data = b"garbage" + b"".join(frames)
    starts = [7 + 22 * seq for seq in range(5)]
    assert set(starts[2:]) <= set(frame_candidates(data, stream=3, next_seq=2))
    assert starts[1] not in frame_candidates(data, stream=3, next_seq=2)


def test_stream_numbers_differ_for_the_names_in_use():
    names = ["controller", "records", "post_processor", *(f"worker_{i}" for i in range(8))]
    numbers = {stream_number(name) for name in names}
    assert len(numbers) == len(names)
    assert max(numbers) < 2**16
