"""Exact order statistics and moments of more values than fit into memory.

Values are read again and again as chunks. A float64 that is not NaN keeps its order when its bits
are read as an integer (negative ones mirrored), so fixed bins of such integers are narrow where
the values are small and wide where they are large: no outlier makes them useless. One pass counts
the bins, a second one keeps the values of those bins that hold a wanted rank; a bin with too many
values is divided again.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from steelyard.domain.bench.summary import PERCENTILES

Chunks = Callable[[], Iterable[np.ndarray]]
"""Returns all values from the start, as float64 arrays without NaN."""

KEPT_MAX = 1_048_576
"""Values held at once while ranks are looked up: 8 MB."""

_BIN_BITS = 13
_PIECE = 16_384
"""Values binned at once: what comes of them on the way stays in the CPU's cache."""
_MAGNITUDE = np.int64(np.iinfo(np.int64).max)


class Distribution(msgspec.Struct, frozen=True):
    """Statistics of one column; None where there are too few values.

    `std` is the sample's (n - 1); percentiles interpolate linearly between order statistics
    (Hyndman and Fan 1996, definition 7), as numpy does. Values that count as infinite make `max`
    and `avg` infinite, leave no `std`, and every percentile that falls into them is infinite.
    """

    count: int = 0
    avg: float | None = None
    min: float | None = None
    max: float | None = None
    std: float | None = None
    percentiles: dict[int, float] = {}


class Moments:
    """Count, mean, spread, least and largest of values that come in parts.

    The parts' sums of squares are combined exactly as if they had come as one (Chan, Golub and
    LeVeque 1983).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.low = math.inf
        self.high = -math.inf

    def add(self, values: np.ndarray) -> None:
        """Take in float64 values; at least one, none of them NaN."""
        mean = float(values.mean())
        # Not by a dot product: that would wake a pool of threads for a few thousand numbers.
        squares = float(np.square(values - mean).sum())
        total = self.count + values.size
        step = mean - self.mean
        self.squares += squares + step * step * self.count * values.size / total
        self.mean += step * values.size / total
        self.count = total
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    @property
    def std(self) -> float | None:
        """The sample's standard deviation; None below two values."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else None


def distribution(moments: Moments, chunks: Chunks, infinite: int = 0) -> Distribution:
    """Return the statistics of the values in `chunks`, of which `moments` knows the sums.

    Args:
        moments: of exactly these values.
        chunks: reads them.
        infinite: how many more values there are, each above all others.
    """
    count = moments.count + infinite
    if not count:
        return Distribution()
    places = {p: p / 100 * (count - 1) for p in PERCENTILES}
    ranks = {rank for at in places.values() for rank in (math.floor(at), math.ceil(at))}
    found: dict[int, float] = dict.fromkeys(ranks, math.inf)
    known = sorted(rank for rank in ranks if rank < moments.count)
    if known:
        found |= order_statistics(chunks, moments.low, moments.high, known)
    return Distribution(
        count=count,
        avg=math.inf if infinite else moments.mean,
        min=moments.low,
        max=math.inf if infinite else moments.high,
        std=None if infinite else moments.std,
        percentiles={p: _between(found, at) for p, at in places.items()},
    )


def _between(found: Mapping[int, float], at: float) -> float:
    low, share = found[math.floor(at)], at - math.floor(at)
    # An infinity times no share is not a number.
    return low + (found[math.ceil(at)] - low) * share if share and low < math.inf else low


def order_statistics(
    chunks: Chunks, low: float, high: float, ranks: Sequence[int]
) -> dict[int, float]:
    """Return the values of 0-based `ranks` among those from `low` to `high`.

    Values outside of these bounds are passed over; both bounds occur.
    """
    if low == high:
        return dict.fromkeys(ranks, low)
    bins = _Bins(low, high)
    counts = np.zeros(bins.count, dtype=np.int64)
    for values in _pieces(chunks):
        counts += np.bincount(bins.of(values)[1], minlength=bins.count)
    ends = np.cumsum(counts)
    bin_of = dict(zip(ranks, np.searchsorted(ends, ranks, side="right").tolist(), strict=True))
    wanted = np.zeros(bins.count, dtype=bool)
    wanted[list(bin_of.values())] = True
    if int(counts[wanted].sum()) <= KEPT_MAX:
        held = np.concatenate([_kept(values, bins, wanted) for values in _pieces(chunks)])
        # Ranks among all values less those in bins that are not held: ranks among the held.
        skipped = np.cumsum(np.where(wanted, 0, counts))
        places = {rank: int(rank - skipped[number]) for rank, number in bin_of.items()}
        held.partition(sorted(set(places.values())))
        return {rank: float(held[place]) for rank, place in places.items()}
    found: dict[int, float] = {}
    for number in sorted(set(bin_of.values())):
        begins = int(ends[number] - counts[number])
        inside = [rank for rank in ranks if bin_of[rank] == number]
        below = order_statistics(
            chunks, *_bounds(chunks, bins, number), [rank - begins for rank in inside]
        )
        found |= {rank: below[rank - begins] for rank in inside}
    return found


class _Bins:
    """Equal ranges of the integers that order the values from `low` to `high`."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._signed = low < 0
        first, last = self._keys(np.array([low, high])).tolist()
        self._first = np.int64(first)
        self._shift = np.uint64(max((last - first).bit_length() - _BIN_BITS, 0))
        self.count = ((last - first) >> int(self._shift)) + 1

    def of(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values within the bounds, and the bin of each."""
        inside = (values >= self._low) & (values <= self._high)
        if not inside.all():
            values = values[inside]
        # The span of two int64 needs all 64 bits: the difference wraps round to the right uint64.
        apart = (self._keys(values) - self._first).view(np.uint64)
        return values, (apart >> self._shift).view(np.int64)

    def _keys(self, values: np.ndarray) -> np.ndarray:
        bits = (values + 0.0).view(np.int64)  # a negative zero becomes the positive one
        return np.where(bits < 0, bits ^ _MAGNITUDE, bits) if self._signed else bits


def _pieces(chunks: Chunks) -> Iterator[np.ndarray]:
    for values in chunks():
        for first in range(0, values.size, _PIECE):
            yield values[first : first + _PIECE]


def _kept(values: np.ndarray, bins: _Bins, wanted: np.ndarray) -> np.ndarray:
    inside, numbers = bins.of(values)
    return np.asarray(inside[wanted[numbers]])


def _bounds(chunks: Chunks, bins: _Bins, number: int) -> tuple[float, float]:
    """Return the least and the largest value in a bin that is not empty."""
    low, high = math.inf, -math.inf
    for values in _pieces(chunks):
        inside, numbers = bins.of(values)
        held = inside[numbers == number]
        if held.size:
            low, high = min(low, float(held.min())), max(high, float(held.max()))
    return low, high
