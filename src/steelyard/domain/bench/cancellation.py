"""Which requests the client gives up on purpose, as a pure function of seed, phase and index."""

from functools import lru_cache

from steelyard.domain.bench.arrival import BLOCK, STREAM_CANCEL, generator

_TURN_SHIFT = 40
_BLOCKS_KEPT = 32


class CancelDraws:
    """Draws each request of a phase on its own, by schedule index and turn.

    The draws of `BLOCK` indices come from one counter of the generator, so that every worker finds
    those of its indices alone, and the number of workers changes none.

    Args:
        seed, phase: of the plan.
        rate: the share that is given up, 0 to 1.
    """

    def __init__(self, seed: int, phase: int, rate: float) -> None:
        self._seed, self._phase, self._rate = seed, phase, rate
        self._of_block = lru_cache(_BLOCKS_KEPT)(self._draw)

    def _draw(self, turn: int, block: int) -> bytes:
        """Return a byte per index of the block: 1 where the request is given up."""
        rng = generator(self._seed, STREAM_CANCEL, self._phase, turn << _TURN_SHIFT | block)
        return (rng.random(BLOCK) < self._rate).tobytes()

    def given_up(self, index: int, turn: int = 0) -> bool:
        """Tell whether this turn of the session that index begins is given up."""
        block, at = divmod(index, BLOCK)
        return bool(self._of_block(turn, block)[at])
