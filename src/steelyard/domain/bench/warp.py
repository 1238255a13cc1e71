"""Arrivals under a rate that changes: a schedule for one rate, put where another wants it.

A schedule of `request_rate` says at which worth, in seconds of that rate, each index is due. A
ramp or a series of rates says when that worth is reached. The composition is as pure as its parts:
who asks for which indices changes nothing.
"""

from collections.abc import Sequence

import numpy as np

from steelyard.domain.bench.ports import Arrival, Ramp
from steelyard.kernel.units import NS_PER_S

_HALVINGS = 30


class RateSeries:
    """A rate that runs straight from point to point, and stays at the first and the last.

    Args:
        points: seconds and requests per second; seconds ascend, rates are above 0.

    Attributes:
        first, highest: requests per second.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        times = np.array([time for time, _ in points], np.float64)
        rates = np.array([rate for _, rate in points], np.float64)
        if times[0] > 0:
            times, rates = np.insert(times, 0, 0.0), np.insert(rates, 0, rates[0])
        self.first, self.highest = float(rates[0]), float(rates.max())
        shares = rates / self.highest
        lengths = np.diff(times)
        self._times_s, self._shares = times, shares
        self._slopes = np.append(np.diff(shares) / lengths, 0.0)
        worths = np.cumsum(lengths * (shares[1:] + shares[:-1]) / 2)
        self._worths_s = np.concatenate(([0.0], worths))

    def elapsed_s(self, worth_s: np.ndarray) -> np.ndarray:
        """Return when as much has been sent as the highest rate sends in `worth_s` seconds.

        Within a piece the integral is `s t + a t**2 / 2`; its root is written so that it stays
        exact where `a` is 0.
        """
        piece = np.searchsorted(self._worths_s, worth_s, side="right") - 1
        left = worth_s - self._worths_s[piece]
        share, slope = self._shares[piece], self._slopes[piece]
        root = np.sqrt(np.maximum(share * share + 2 * slope * left, 0.0))
        elapsed: np.ndarray = self._times_s[piece] + 2 * left / (share + root)
        return elapsed


class WarpedArrival:
    """An arrival under a ramp, a series of rates, or one after the other.

    Args:
        arrival: its plan's rate is the highest of the series where there is one.
        ramp: how the rate grows from the start to the plan's rate, or to the series' first one.
        ramp_s: how long that takes.
        series: begins where the ramp has ended.
    """

    def __init__(
        self,
        arrival: Arrival,
        *,
        ramp: Ramp | None = None,
        ramp_s: float = 0.0,
        series: RateSeries | None = None,
    ) -> None:
        self._arrival = arrival
        self._ramp = ramp
        self._ramp_s = ramp_s
        self._series = series

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        """Return int64 ns after the phase's start of indices `first..first+count`."""
        elapsed = self._elapsed_s(self._arrival.offsets_ns(first, count) / NS_PER_S)
        offsets: np.ndarray = np.rint(elapsed * NS_PER_S).astype(np.int64)
        return offsets

    def reached_s(self, worth_s: float) -> float:
        """Return when as much is due as the full rate sends in `worth_s` seconds."""
        return float(self._elapsed_s(np.array([worth_s], np.float64))[0])

    def worth_s(self, elapsed_s: float) -> float:
        """Return in how many seconds the full rate sends what is due within `elapsed_s`.

        Any ramp gives only the inverse; the rate is never above the full one, so this lies between
        0 and `elapsed_s`, and is halved down to a billionth of it.
        """
        low, high = 0.0, max(elapsed_s, 0.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.reached_s(middle) <= elapsed_s:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def _elapsed_s(self, worth_s: np.ndarray) -> np.ndarray:
        if self._series is None:
            return self._ramp.elapsed_s(worth_s) if self._ramp is not None else worth_s
        if self._ramp is None:
            return self._series.elapsed_s(worth_s)
        scale = self._series.highest / self._series.first
        ramped = self._ramp.elapsed_s(worth_s * scale)
        after = np.maximum(ramped - self._ramp_s, 0.0) / scale
        return np.where(
            ramped <= self._ramp_s, ramped, self._ramp_s + self._series.elapsed_s(after)
        )
