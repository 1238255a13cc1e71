"""Which entry of the dataset a session spends: a pure function, so every worker agrees.

`sequential` walks the entries again and again; `shuffle` does too, in a new order each time;
`random` draws each session's entry on its own, so entries repeat early.
"""

from functools import lru_cache

import numpy as np

from steelyard.domain.bench.arrival import STREAM_SAMPLING, generator
from steelyard.kernel.errors import UsageError, did_you_mean

SAMPLINGS = ("sequential", "shuffle", "random")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def entry_of(session_index: int, entries: int, sampling: str, seed: int) -> int:
    """Return the entry, 0 to `entries - 1`, of session number `session_index`.

    Raises:
        ValueError: there are no entries, or the index is negative.
        UsageError: `sampling` is unknown.
    """
    if entries <= 0 or session_index < 0:
        message = f"no entry for session {session_index} of {entries} entries"
        raise ValueError(message)
    if sampling == "sequential":
        return session_index % entries
    if sampling == "random":
        return drawn(session_index, entries, seed)
    if sampling == "shuffle":
        turn, place = divmod(session_index, entries)
        return int(_order(entries, seed, turn)[place])
    raise _unknown(sampling)


def drawn(index: int, count: int, seed: int) -> int:
    """Return a number from 0 to `count - 1`: that of `seed` and `index`, whoever draws it.

    The upper bits of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) at counter `index`; counts up to
    2**32 are drawn evenly to within 2**-32.
    """
    mixed = _mix((index + 1) * _GOLDEN + _mix(seed & _MASK))
    return ((mixed >> 32) * count) >> 32


def entries_of(first: int, count: int, entries: int, sampling: str, seed: int) -> np.ndarray:
    """Return int64 entries of sessions `first..first + count`, each as `entry_of` gives it.

    Raises:
        ValueError: there are no entries, or the index is negative.
        UsageError: `sampling` is unknown.
    """
    if entries <= 0 or first < 0:
        message = f"no entry for session {first} of {entries} entries"
        raise ValueError(message)
    indices = np.arange(first, first + count, dtype=np.int64)
    if sampling == "sequential":
        return indices % entries
    if sampling == "random":
        offset = np.uint64(_mix(seed & _MASK))
        mixed = _mix_array((indices.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) + offset)
        return (((mixed >> np.uint64(32)) * np.uint64(entries)) >> np.uint64(32)).astype(np.int64)
    if sampling == "shuffle":
        turns, places = np.divmod(indices, entries)
        result = np.empty(count, dtype=np.int64)
        for turn in np.unique(turns):
            here = turns == turn
            result[here] = _order(entries, seed, int(turn))[places[here]]
        return result
    raise _unknown(sampling)


def _mix(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def _mix_array(value: np.ndarray) -> np.ndarray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX_1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX_2)
    mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed


@lru_cache(maxsize=4)
def _order(entries: int, seed: int, turn: int) -> np.ndarray:
    """Return the order of one walk; the cache only saves time."""
    return generator(seed, STREAM_SAMPLING, 0, turn).permutation(entries)


def _unknown(sampling: str) -> UsageError:
    return UsageError(
        "Unknown dataset sampling",
        got=sampling,
        expected=" or ".join(SAMPLINGS),
        next_step=did_you_mean(sampling, SAMPLINGS) or None,
    )
