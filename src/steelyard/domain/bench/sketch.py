"""Quantiles of any number of values in fixed memory, with a stated error, mergeable exactly.

Log-spaced buckets as in DDSketch (Masson, Rim and Lee, VLDB 2019): bucket `i` holds values in
`(gamma**(i-1), gamma**i]` with `gamma = (1 + alpha) / (1 - alpha)`, and stands for
`2 * gamma**i / (gamma + 1)`, which is within `alpha` of each of them. The buckets are fixed
beforehand, so the order of adding and merging changes nothing.
"""

import math
from typing import Any, Self

import msgspec
import numpy as np

SMALLEST = 1e-9
LARGEST = 1e12
DEFAULT_ALPHA = 0.01
_MIN_ALPHA = 1e-4


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    alpha: float
    low: float
    high: float
    clamped: int
    ignored: int
    buckets: tuple[int, ...]
    counts: tuple[int, ...]


_decoder = msgspec.msgpack.Decoder(_Encoded)


class Sketch:
    """Counts of values in log-spaced buckets, negative and positive.

    Magnitudes below `SMALLEST` count as zero; those above `LARGEST` are put into the last bucket
    and counted in `clamped`. What is not a finite number is left out and counted in `ignored`.

    Args:
        alpha: relative error of quantiles, from 0.0001 to below 1.

    Raises:
        ValueError: alpha is outside of that.
    """

    def __init__(self, alpha: float = DEFAULT_ALPHA) -> None:
        if not _MIN_ALPHA <= alpha < 1:
            message = f"alpha must be from {_MIN_ALPHA} to below 1, got {alpha}"
            raise ValueError(message)
        self.alpha = alpha
        self.clamped = 0
        self.ignored = 0
        self.low = math.inf
        self.high = -math.inf
        self._log_gamma = math.log((1 + alpha) / (1 - alpha))
        self._first = math.ceil(math.log(SMALLEST) / self._log_gamma)
        self._last = math.ceil(math.log(LARGEST) / self._log_gamma)
        # Negative values mirrored, zero in the middle, positive ones: ascending by value.
        self._half = self._last - self._first + 1
        self._counts = np.zeros(2 * self._half + 1, dtype=np.int64)

    @property
    def count(self) -> int:
        """How many values are in."""
        return int(self._counts.sum())

    def add(self, values: np.ndarray) -> None:
        """Add an array of numbers."""
        values = np.asarray(values, dtype=np.float64).ravel()
        finite = values[np.isfinite(values)]
        self.ignored += len(values) - len(finite)
        if len(finite) == 0:
            return
        self.low = min(self.low, float(finite.min()))
        self.high = max(self.high, float(finite.max()))
        size = np.abs(finite)
        self.clamped += int(np.count_nonzero(size > LARGEST))
        zero = size < SMALLEST
        exponent = np.ceil(np.log(np.where(zero, 1.0, size)) / self._log_gamma)
        step = np.clip(exponent, self._first, self._last).astype(np.int64) - self._first + 1
        signed = np.where(zero, 0, np.where(finite < 0, -step, step))
        self._counts += np.bincount(signed + self._half, minlength=len(self._counts))

    def merge(self, other: "Sketch") -> None:
        """Take in all of `other`, as if its values had been added here.

        Raises:
            ValueError: its alpha differs.
        """
        if other.alpha != self.alpha:
            message = f"sketches of alpha {self.alpha} and {other.alpha} don't merge"
            raise ValueError(message)
        self._counts += other._counts  # noqa: SLF001 - of our own class
        self.clamped += other.clamped
        self.ignored += other.ignored
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)

    def quantile(self, q: float) -> float | None:
        """Return the value of rank `floor(q * (count - 1))`, within `alpha` of it; None if empty.

        Raises:
            ValueError: q is not in 0..1.
        """
        if not 0 <= q <= 1:
            message = f"a quantile is from 0 to 1, got {q}"
            raise ValueError(message)
        below = np.cumsum(self._counts)
        total = int(below[-1])
        if total == 0:
            return None
        bucket = int(np.searchsorted(below, math.floor(q * (total - 1)), side="right"))
        return min(max(self._value(bucket - self._half), self.low), self.high)

    def _value(self, signed: int) -> float:
        if signed == 0:
            return 0.0
        exponent = abs(signed) + self._first - 1
        upper = math.exp(exponent * self._log_gamma)
        return math.copysign(upper * (1 - self.alpha), signed)

    def encode(self) -> bytes:
        """Return the sketch as bytes for `decode`; only buckets in use take space."""
        used = np.flatnonzero(self._counts)
        return msgspec.msgpack.encode(
            _Encoded(
                alpha=self.alpha,
                low=self.low,
                high=self.high,
                clamped=self.clamped,
                ignored=self.ignored,
                buckets=tuple(used.tolist()),
                counts=tuple(self._counts[used].tolist()),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the sketch in `data`.

        Raises:
            ValueError: these bytes are no sketch.
        """
        try:
            parts = _decoder.decode(data)
        except msgspec.DecodeError as error:
            message = f"not a sketch: {error}"
            raise ValueError(message) from error
        sketch = cls(parts.alpha)
        _check(parts, len(sketch._counts))
        sketch.low, sketch.high = parts.low, parts.high
        sketch.clamped, sketch.ignored = parts.clamped, parts.ignored
        sketch._counts[list(parts.buckets)] = parts.counts
        return sketch

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return self._state() == other._state() and np.array_equal(self._counts, other._counts)

    __hash__ = None  # type: ignore[assignment]  # it changes as values come

    def _state(self) -> tuple[Any, ...]:
        return self.alpha, self.low, self.high, self.clamped, self.ignored


def _check(parts: _Encoded, size: int) -> None:
    buckets, counts = parts.buckets, parts.counts
    in_range = all(0 <= bucket < size for bucket in buckets)
    if len(buckets) != len(counts) or len(set(buckets)) != len(buckets) or not in_range:
        message = "not a sketch: its buckets and counts don't fit"
        raise ValueError(message)
    if any(count <= 0 for count in counts) or sum(counts) >= 2**63:
        message = "not a sketch: a count is out of bounds"
        raise ValueError(message)
    if min(parts.clamped, parts.ignored) < 0 or math.isnan(parts.low) or math.isnan(parts.high):
        message = "not a sketch: its bounds are no numbers"
        raise ValueError(message)
