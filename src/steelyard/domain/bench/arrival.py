"""Arrival schedules as pure functions of seed, phase and index.

Random gaps come from Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11),
a counter-based generator: block `b` of a phase is drawn from counter `b`, so that any worker finds
any index without the others and the number of workers changes nothing.
"""

from collections.abc import Callable

import numpy as np

from steelyard.kernel.units import NS_PER_S

BLOCK = 1024
"""Gaps per counter block."""

STREAM_ARRIVAL = 1
STREAM_SAMPLING = 2
STREAM_PROMPT = 3
STREAM_LENGTH = 4
STREAM_TARGET = 6
STREAM_CANCEL = 7
STREAM_RAMP = 8
STREAM_TURNS = 9
STREAM_BLOCK = 20
STREAM_POOL = 21
STREAM_PASSAGES = 22


def generator(seed: int, stream: int, phase: int, block: int) -> np.random.Generator:
    """Return the generator of one block: Philox with key (seed, stream), counter (phase, block)."""
    mask = (1 << 64) - 1
    key = np.array([seed & mask, stream], dtype=np.uint64)
    counter = np.array([0, 0, block & mask, phase & mask], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class GapSchedule:
    """Offsets as sums of gaps that are drawn block by block.

    Args:
        draw: `draw(block)` returns `BLOCK` gaps in seconds, the same for the same block.

    The sum before each block is kept (8 bytes for 1,024 indices), in whole nanoseconds, so that
    every caller rounds alike.
    """

    def __init__(self, draw: Callable[[int], np.ndarray]) -> None:
        self._draw = draw
        self._before_ns = [0]
        self._latest: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def _block_ns(self, block: int) -> np.ndarray:
        """Return the offsets of one block: int64 ns, the first gap of block 0 being dropped."""
        if self._latest[0] == block:
            return self._latest[1]
        gaps = np.rint(self._draw(block) * NS_PER_S).astype(np.int64)
        if block == 0:
            gaps[0] = 0
        sums = np.cumsum(gaps) + self._before_ns[block]
        if len(self._before_ns) == block + 1:
            self._before_ns.append(int(sums[-1]))
        self._latest = (block, sums)
        return sums

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        """Return int64 ns after the phase's start of indices `first..first+count`."""
        last_block = (first + max(count, 1) - 1) // BLOCK
        while len(self._before_ns) <= last_block:
            self._block_ns(len(self._before_ns) - 1)
        first_block = first // BLOCK
        blocks = [self._block_ns(block) for block in range(first_block, last_block + 1)]
        joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        begin = first - first_block * BLOCK
        return joined[begin : begin + count]


def constant_offsets_ns(rate_per_s: float, first: int, count: int) -> np.ndarray:
    """Return int64 ns of evenly spaced indices; no error adds up along the run."""
    indices = np.arange(first, first + count, dtype=np.float64)
    return np.rint(indices * (NS_PER_S / rate_per_s)).astype(np.int64)
