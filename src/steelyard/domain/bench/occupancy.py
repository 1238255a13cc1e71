"""What was in flight over time: requests, requests before and after their first content, tokens.

A quantity that rises and falls over time has the average `integral / duration`. The integral is a
sum over requests, so it is exact however they overlap, and needs no sorting: for a whole run each
request gives its own share; for slices of time its rises and falls are put where they happen.
"""

import numpy as np

from steelyard.domain.bench.records import MISSING

KINDS = ("busy", "prefill", "token")
"""Requests in flight; those of them without any content yet; tokens in flight."""


def in_flight_ns(batch: np.ndarray) -> np.ndarray:
    """Return how long each request was in flight; 0 for one that was not sent or has no end."""
    start, end = batch["start_ns"], batch["end_ns"]
    return np.where((start != MISSING) & (end > start), end - start, 0)


def prefill_ns(batch: np.ndarray) -> np.ndarray:
    """Return how long each request was in flight without content; all the time when none came."""
    first, start = batch["first_token_ns"], batch["start_ns"]
    flown = in_flight_ns(batch)
    return np.asarray(np.where(first != MISSING, np.clip(first - start, 0, flown), flown))


def token_ns(batch: np.ndarray) -> np.ndarray:
    """Return each request's tokens in flight, integrated over time (token nanoseconds).

    The prompt's tokens are in flight from send to end; the answer's come evenly from the first
    content to the last and stay until the end. Those of an answer that did not stream come at its
    end, and count nothing. Unknown counts are 0.
    """
    flown = in_flight_ns(batch)
    first, last, end = batch["first_token_ns"], batch["last_token_ns"], batch["end_ns"]
    streamed = (flown > 0) & (first != MISSING) & (last != MISSING)
    held = np.where(streamed, (last - first) / 2 + (end - last), 0)
    return np.asarray(_known(batch, "input_tokens") * flown + _known(batch, "output_tokens") * held)


def _known(batch: np.ndarray, column: str) -> np.ndarray:
    return np.asarray(np.maximum(batch[column], 0), dtype=np.float64)


class Occupancy:
    """Integrals of what is in flight over each of `count` slices of time.

    A quantity is made of kinks: at a time its level jumps, or the rate at which it grows changes.
    Each kink gives its own slice an area and all later ones a level and a rate to begin with.

    Args:
        origin_ns: where the first slice begins.
        slice_ns: how long each is.
        count: how many there are; memory is in proportion to it.
    """

    def __init__(self, origin_ns: int, slice_ns: int, count: int) -> None:
        self._origin_ns = origin_ns
        self._slice_ns = slice_ns
        self._count = count
        self._sums = {kind: np.zeros((3, count)) for kind in KINDS}

    def add(self, batch: np.ndarray) -> None:
        """Take in rows of `RECORD_DTYPE`."""
        flown = in_flight_ns(batch)
        rows = batch[flown > 0]
        start, end = rows["start_ns"], rows["end_ns"]
        one = np.ones(rows.size)
        self._jump("busy", start, one)
        self._jump("busy", end, -one)
        self._jump("prefill", start, one)
        self._jump("prefill", start + prefill_ns(rows), -one)
        first, last = rows["first_token_ns"], rows["last_token_ns"]
        tokens_in, tokens_out = _known(rows, "input_tokens"), _known(rows, "output_tokens")
        streamed = (first != MISSING) & (last != MISSING)
        held = tokens_in + np.where(streamed, tokens_out, 0)
        self._jump("token", start, tokens_in)
        self._jump("token", end, -held)
        paced = streamed & (last > first)
        rate = tokens_out[paced] / (last[paced] - first[paced])
        self._bend("token", first[paced], rate)
        self._bend("token", last[paced], -rate)
        at_once = streamed & ~paced
        self._jump("token", first[at_once], tokens_out[at_once])

    def _place(self, times_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each time's slice, and how long that slice still lasts from there."""
        since = times_ns - self._origin_ns
        slices = np.clip(since // self._slice_ns, 0, self._count - 1)
        return slices, (slices + 1) * self._slice_ns - since

    def _sum(self, slices: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return np.bincount(slices, shares, minlength=self._count)

    def _jump(self, kind: str, times_ns: np.ndarray, levels: np.ndarray) -> None:
        slices, left_ns = self._place(times_ns)
        area, level, _ = self._sums[kind]
        area += self._sum(slices, levels * left_ns)
        level += self._sum(slices, levels)

    def _bend(self, kind: str, times_ns: np.ndarray, rates: np.ndarray) -> None:
        slices, left_ns = self._place(times_ns)
        area, level, rate = self._sums[kind]
        area += self._sum(slices, rates * left_ns * left_ns / 2)
        level += self._sum(slices, rates * left_ns)
        rate += self._sum(slices, rates)

    def integrals(self) -> dict[str, np.ndarray]:
        """Return for each of `KINDS` the integral over every slice: level times nanoseconds."""
        found = {}
        for kind, (area, level, rate) in self._sums.items():
            rate_before = _before(rate)
            level_before = _before(level + rate_before * self._slice_ns)
            found[kind] = area + level_before * self._slice_ns + rate_before * self._slice_ns**2 / 2
        return found


def _before(values: np.ndarray) -> np.ndarray:
    """Return the sum of all values before each."""
    return np.asarray(np.cumsum(values) - values)
