"""The frames of a journal file: bytes in, frames out, nothing trusted.

A file is a 16-byte file header, then frames back to back, little-endian throughout::

    file header  magic 8s | format version u16 | zero u16 | crc32c u32 of the 12 bytes before
    frame        length u32 | crc32c u32 | type u8 | stream u16 | seq u64 | payload

`length` counts the payload; the checksum covers length, type, stream, seq and payload, so that
every single-byte error is caught. `seq` counts the frames of a stream from 0.
"""

import struct
from enum import IntEnum

import msgspec
from crc32c import crc32c

MAGIC = b"STLYARD\n"
FORMAT_VERSION = 1
FILE_HEADER_SIZE = 16
FRAME_HEADER_SIZE = 19
MAX_PAYLOAD = 64 * 1024 * 1024
RESYNC_SEQS = 16

_FILE_HEADER = struct.Struct("<8sHH")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_REST = struct.Struct("<BHQ")
_FRAME_HEADER = struct.Struct("<IIBHQ")
_STREAM_SEQ = struct.Struct("<HQ")
_STREAM_AT = 9


class FrameType(IntEnum):
    """What a frame's payload is."""

    OPENED = 1
    EVENT = 2
    RECORDS = 3


class Frame(msgspec.Struct, frozen=True):
    """A whole frame; its payload is a view into the buffer it was read from."""

    type: FrameType
    stream: int
    seq: int
    payload: memoryview

    @property
    def size(self) -> int:
        """Bytes of header and payload."""
        return FRAME_HEADER_SIZE + len(self.payload)


class Incomplete(msgspec.Struct, frozen=True):
    """The buffer ends inside a frame that would need `needed` bytes from its start."""

    needed: int


class Corrupt(msgspec.Struct, frozen=True):
    """These bytes are not a frame; `reason` says why."""

    reason: str


_TYPES = {int(kind): kind for kind in FrameType}


def stream_number(stream_id: str) -> int:
    """Return the u16 that ties a frame to its stream, so that a misplaced frame is noticed."""
    return int(crc32c(stream_id.encode())) & 0xFFFF


def file_header() -> bytes:
    """Return the first bytes of every journal file."""
    head = _FILE_HEADER.pack(MAGIC, FORMAT_VERSION, 0)
    return head + _CRC.pack(crc32c(head))


def check_file_header(data: bytes | memoryview) -> str | None:
    """Return None when `data` begins with a header we can read, else what is wrong with it."""
    if len(data) < FILE_HEADER_SIZE:
        return f"the file header is cut after {len(data)} bytes"
    magic, version, _ = _FILE_HEADER.unpack_from(data)
    if magic != MAGIC:
        return "not a journal: the file header's magic is wrong"
    (crc,) = _CRC.unpack_from(data, _FILE_HEADER.size)
    if crc != crc32c(bytes(data[: _FILE_HEADER.size])):
        return "the file header's checksum is wrong"
    if version != FORMAT_VERSION:
        return f"format version {version}; this steelyard reads version {FORMAT_VERSION}"
    return None


def frame_header(frame_type: FrameType, stream: int, seq: int, *parts: bytes) -> bytes:
    """Return the header of a frame whose payload is `parts` joined; the parts are not copied.

    Raises:
        ValueError: the payload is larger than `MAX_PAYLOAD`.
    """
    length = sum(map(len, parts))
    if length > MAX_PAYLOAD:
        message = f"a frame holds at most {MAX_PAYLOAD} bytes, got {length}"
        raise ValueError(message)
    length_bytes = _LENGTH.pack(length)
    rest = _REST.pack(frame_type, stream, seq)
    crc = crc32c(rest, crc32c(length_bytes))
    for part in parts:
        crc = crc32c(part, crc)
    return length_bytes + _CRC.pack(crc) + rest


def parse_frame(buffer: memoryview, offset: int) -> Frame | Incomplete | Corrupt:
    """Return the frame at `offset`, or why there is none."""
    available = len(buffer) - offset
    if available < FRAME_HEADER_SIZE:
        return Incomplete(FRAME_HEADER_SIZE)
    length, crc, type_number, stream, seq = _FRAME_HEADER.unpack_from(buffer, offset)
    frame_type = _TYPES.get(type_number)
    if frame_type is None:
        return Corrupt(f"unknown frame type {type_number}")
    if length > MAX_PAYLOAD:
        return Corrupt(f"frame length {length} is above the limit of {MAX_PAYLOAD}")
    start = offset + FRAME_HEADER_SIZE
    end = start + length
    if end > len(buffer):
        return Incomplete(FRAME_HEADER_SIZE + length)
    actual = crc32c(buffer[offset : offset + _LENGTH.size])
    actual = crc32c(buffer[offset + 8 : end], actual)
    if actual != crc:
        return Corrupt("the checksum is wrong")
    return Frame(frame_type, stream, seq, buffer[start:end])


def frame_candidates(data: bytes, stream: int, next_seq: int) -> list[int]:
    """Return where in `data` a frame of `stream` might start, behind damage, in order.

    These are offsets whose stream and seq fields would fit one of the `RESYNC_SEQS` frames from
    `next_seq` on; only `parse_frame` can tell whether a frame is really there.
    """
    found: list[int] = []
    for seq in range(next_seq, next_seq + RESYNC_SEQS):
        pattern = _STREAM_SEQ.pack(stream, seq)
        at = data.find(pattern)
        while at >= 0:
            if at >= _STREAM_AT:
                found.append(at - _STREAM_AT)
            at = data.find(pattern, at + 1)
    return sorted(found)
