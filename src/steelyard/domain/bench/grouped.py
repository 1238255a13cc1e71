"""Exact statistics of many small groups of values in one go, such as of a run's time slices."""

import math

import numpy as np

from steelyard.domain.bench.selection import Distribution
from steelyard.domain.bench.summary import PERCENTILES

_SHARES = np.array(PERCENTILES) / 100


def grouped_distributions(
    values: np.ndarray, groups: np.ndarray, infinite: np.ndarray
) -> list[Distribution]:
    """Return the statistics of each group, as `selection.distribution` gives them of one.

    Args:
        values: float64, finite; NaN is no value.
        groups: the group of each value, from 0.
        infinite: of each group, how many more values it has that are above all others.
    """
    known = ~np.isnan(values)
    values, groups = values[known], groups[known]
    order = np.lexsort((values, groups))
    values, groups = values[order], groups[order]
    sizes = np.bincount(groups, minlength=infinite.size)
    counts = (sizes + infinite).tolist()
    if not any(counts):
        return [Distribution() for _ in counts]
    # What has no value is never looked at, but an index needs something to point to.
    held = values if values.size else np.zeros(1)
    means, lows, highs, deviations = _moments(held, groups, sizes).tolist()
    places = _places(held, sizes, infinite).tolist()
    return [
        Distribution(
            count=count,
            avg=math.inf if endless else means[number],
            min=lows[number] if count > endless else math.inf,
            max=math.inf if endless else highs[number],
            std=deviations[number] if count > 1 and not endless else None,
            percentiles=dict(zip(PERCENTILES, places[number], strict=True)),
        )
        if count
        else Distribution()
        for number, (count, endless) in enumerate(zip(counts, infinite.tolist(), strict=True))
    ]


def _moments(values: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return each group's mean, least, largest and the sample's deviation; values are sorted."""
    ends = np.cumsum(sizes)
    low = values[np.minimum(ends - sizes, values.size - 1)]
    high = values[np.maximum(ends - 1, 0)]
    values = values[: groups.size]
    # From the least value on: a sum of large values would lose what they differ by.
    above = np.bincount(groups, values - low[groups], minlength=sizes.size)
    mean = low + above / np.maximum(sizes, 1)
    squares = np.bincount(groups, np.square(values - mean[groups]), minlength=sizes.size)
    return np.stack([mean, low, high, np.sqrt(squares / np.maximum(sizes - 1, 1))])


def _places(values: np.ndarray, sizes: np.ndarray, infinite: np.ndarray) -> np.ndarray:
    """Return each group's percentiles; a rank among the infinite ones has an infinity."""
    begins = (np.cumsum(sizes) - sizes)[:, None]
    at = _SHARES * np.maximum(sizes + infinite - 1, 0)[:, None]
    low, high = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)

    def ranked(ranks: np.ndarray) -> np.ndarray:
        within = ranks < sizes[:, None]
        taken = values[np.where(within, begins + ranks, 0)]
        return np.where(within, taken, math.inf)

    below, above, share = ranked(low), ranked(high), at - low
    # An infinity times no share is not a number.
    moved = (share > 0) & np.isfinite(below)
    step = np.where(moved, above, 0.0) - np.where(moved, below, 0.0)
    return np.asarray(below + step * np.where(moved, share, 0.0))
