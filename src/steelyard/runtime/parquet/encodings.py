"""Values as the bytes of a Parquet page.

Source: Apache Parquet, "Encodings" (PLAIN, RLE/bit-packing hybrid, DELTA_BINARY_PACKED).
"""

from collections.abc import Iterable

import numpy as np

from steelyard.runtime.parquet.thrift import varint, zigzag

BLOCK = 128
MINIBLOCKS = 4
_MINI = BLOCK // MINIBLOCKS
_UNSIGNED = {np.dtype(np.int64): np.dtype(np.uint64), np.dtype(np.int32): np.dtype(np.uint32)}


def plain_booleans(values: np.ndarray) -> bytes:
    """Return booleans, eight a byte."""
    return bytes(np.packbits(values, bitorder="little"))


def plain_texts(values: Iterable[str]) -> bytes:
    """Return texts, each behind its length in bytes."""
    encoded = [value.encode() for value in values]
    return b"".join([len(data).to_bytes(4, "little") + data for data in encoded])


def runs(values: np.ndarray, width: int) -> bytes:
    """Return numbers below 2 ** `width` as one run where all are alike, else packed bits."""
    if values.size and (values == values[0]).all():
        size = (width + 7) // 8
        return varint(values.size << 1) + int(values[0]).to_bytes(size, "little")
    groups = (values.size + 7) // 8
    padded = np.zeros(groups * 8, np.uint64)
    padded[: values.size] = values
    return varint(groups << 1 | 1) + bytes(_packed(padded[None, :], width)[0])


def levels(present: np.ndarray) -> bytes:
    """Return which values are there: definition levels of an optional column."""
    packed = runs(present, 1)
    return len(packed).to_bytes(4, "little") + packed


def deltas(values: np.ndarray) -> bytes:
    """Return integers as their differences, packed into as few bits as each 32 of them need.

    Args:
        values: of dtype int32 or int64; differences wrap around, as the format has it.
    """
    count = values.size
    head = varint(BLOCK) + varint(MINIBLOCKS) + varint(count)
    head += zigzag(int(values[0]) if count else 0)
    steps = np.diff(values)
    if not steps.size:
        return head
    blocks = -(-steps.size // BLOCK)
    padded = np.full(blocks * BLOCK, steps[-1])
    padded[: steps.size] = steps
    least = padded.reshape(blocks, BLOCK).min(axis=1)
    over = np.subtract(padded, np.repeat(least, BLOCK)).view(_UNSIGNED[values.dtype])
    over[steps.size :] = 0
    minis = over.astype(np.uint64).reshape(-1, _MINI)
    widths = _bit_lengths(minis.max(axis=1))
    bodies = _bodies(minis, widths)
    sizes = widths.astype(np.uint8).tobytes()
    out = [head]
    for block, low in enumerate(least.tolist()):
        first, last = block * MINIBLOCKS, (block + 1) * MINIBLOCKS
        out += (zigzag(low), sizes[first:last], *bodies[first:last])
    return b"".join(out)


def width_of(count: int) -> int:
    """Return how many bits the numbers below `count` need."""
    return max(count - 1, 0).bit_length()


def _bit_lengths(values: np.ndarray) -> np.ndarray:
    powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
    return np.searchsorted(powers, values, side="right")


def _bodies(minis: np.ndarray, widths: np.ndarray) -> list[bytes]:
    bodies = [b""] * len(minis)
    for width in np.unique(widths[widths > 0]).tolist():
        places = np.flatnonzero(widths == width)
        packed = _packed(minis[places], width).tobytes()
        size = _MINI * width // 8
        for number, place in enumerate(places.tolist()):
            bodies[place] = packed[number * size : (number + 1) * size]
    return bodies


def _packed(rows: np.ndarray, width: int) -> np.ndarray:
    """Return each row of a multiple of 8 uint64 numbers with `width` bits a number."""
    taken = (width + 7) // 8
    octets = np.ascontiguousarray(rows, dtype="<u8").view(np.uint8).reshape(*rows.shape, 8)
    bits = np.unpackbits(octets[..., :taken], axis=-1, bitorder="little")[..., :width]
    return np.packbits(bits.reshape(len(rows), -1), axis=1, bitorder="little")
