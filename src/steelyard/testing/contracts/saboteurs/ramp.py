"""Ramps with one fault each, over an even growth."""

from typing import Any

import numpy as np

from steelyard.testing.contracts.ramp import RampSubject


class Even:
    """Conforms."""

    def __init__(self, duration_s: float, seed: int, phase: int) -> None:
        self.duration_s = duration_s
        self.asked = seed + phase

    def offsets_ns(self, steps: int) -> Any:
        """Return equal distances."""
        return np.floor(np.linspace(0.0, self.duration_s * 1e9, steps)).astype(np.int64)

    def elapsed_s(self, worth_s: np.ndarray) -> Any:
        """Return the inverse of `t ** 2 / (2 * duration)`."""
        half = self.duration_s / 2
        within = np.sqrt(np.minimum(worth_s, half) * 2 * self.duration_s)
        return np.where(worth_s < half, within, worth_s + half)


class Seconds(Even):
    """Returns seconds."""

    def offsets_ns(self, steps: int) -> Any:
        """As above, with the fault."""
        return super().offsets_ns(steps) / 1e9


class EndsLate(Even):
    """Takes one step more than it may."""

    def offsets_ns(self, steps: int) -> Any:
        """As above, with the fault."""
        return super().offsets_ns(steps) + np.int64(self.duration_s * 1e9 / max(1, steps))


class Overshoots(Even):
    """Makes up for the slow start: begins at twice the rate."""

    def elapsed_s(self, worth_s: np.ndarray) -> Any:
        """As above, with the fault."""
        return np.where(worth_s < self.duration_s, worth_s / 2, worth_s - self.duration_s / 2)


class NeverFull(Even):
    """Stays one part in a million below the full rate."""

    def elapsed_s(self, worth_s: np.ndarray) -> Any:
        """As above, with the fault."""
        return super().elapsed_s(worth_s) * (1 + 1e-6)


class FromItsPiece(Even):
    """Starts anew with each piece it is asked for."""

    def elapsed_s(self, worth_s: np.ndarray) -> Any:
        """As above, with the fault."""
        return super().elapsed_s(worth_s - worth_s[0])


class OtherCurve(Even):
    """Has all of its steps at the start, and a rate that grows evenly."""

    def offsets_ns(self, steps: int) -> Any:
        """As above, with the fault."""
        return np.arange(steps, dtype=np.int64)


HONEST = RampSubject(Even)

SABOTEURS = [
    ("test_steps_are_whole_nanoseconds", RampSubject(Seconds)),
    ("test_steps_begin_at_once_and_end_in_time", RampSubject(EndsLate)),
    ("test_a_rate_begins_at_once_and_grows", RampSubject(Overshoots)),
    ("test_after_the_duration_the_rate_is_full", RampSubject(NeverFull)),
    ("test_every_worker_finds_the_same", RampSubject(FromItsPiece)),
    ("test_steps_and_rate_are_one_curve", RampSubject(OtherCurve)),
]
