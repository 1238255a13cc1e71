"""How even a distribution is: Gini's coefficient and Jain's index."""

from collections.abc import Iterable
from math import fsum


def gini(values: Iterable[float]) -> float:
    """Return Gini's coefficient of shares >= 0: 0 when all are equal, (n - 1) / n when one has all.

    Half of the mean difference of all pairs over the mean: `sum |x_i - x_j| / (2 n^2 mean)`, here
    by the equal sum over sorted values (C. Gini, 1912). Nothing to share is shared evenly: 0.
    """
    ordered = sorted(values)
    total = fsum(ordered)
    if not total:
        return 0.0
    count = len(ordered)
    # Scaled by the largest first: shares as small as a float can be must not vanish in products.
    largest = ordered[-1]
    weighted = fsum((2 * i - count - 1) * (x / largest) for i, x in enumerate(ordered, 1))
    return weighted / (count * fsum(x / largest for x in ordered))


def jain(values: Iterable[float]) -> float:
    """Return Jain's index of shares >= 0: 1 when all are equal, 1 / n when one has all.

    `(sum x)^2 / (n * sum x^2)` (R. Jain, D. Chiu, W. Hawe: A Quantitative Measure of Fairness,
    1984). Nothing to share is shared evenly: 1.
    """
    shares = list(values)
    largest = max(shares, default=0.0)
    if not largest:
        return 1.0
    scaled = [x / largest for x in shares]
    return fsum(scaled) ** 2 / (len(scaled) * fsum(x * x for x in scaled))
