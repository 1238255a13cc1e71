"""The contract of a ramp: a growth that every worker finds alike, in steps and as a rate."""

from dataclasses import dataclass

import numpy as np

from steelyard.domain.bench.ports import Ramp
from steelyard.kernel.units import NS_PER_S
from steelyard.testing.contracts.kit import Contract, require

_STEPS = (1, 2, 7, 100, 5_000)
_TINY_S = 1e-6
_APART = 0.35


@dataclass(frozen=True)
class RampSubject:
    """A ramp, and how long it shall take in the tests."""

    cls: type[Ramp]
    duration_s: float = 30.0

    def make(self) -> Ramp:
        """Return a new instance."""
        return self.cls(self.duration_s, 42, 0)

    def worths(self) -> np.ndarray:
        """Return seconds at the full rate, past any ramp's end."""
        return np.linspace(0.0, 2.5 * self.duration_s, 4_001)


class RampContract(Contract):
    """Inherit, and override `subject` with a `RampSubject`."""

    kind = "ramp"

    def test_steps_are_whole_nanoseconds(self, subject: RampSubject) -> None:
        """int64, one per step."""
        for steps in _STEPS:
            offsets = subject.make().offsets_ns(steps)
            require(isinstance(offsets, np.ndarray), f"steps are {type(offsets).__name__}")
            require(offsets.dtype == np.int64, f"steps are {offsets.dtype}, not int64")
            require(offsets.shape == (steps,), f"asked for {steps} steps, got {offsets.shape}")

    def test_steps_begin_at_once_and_end_in_time(self, subject: RampSubject) -> None:
        """The first step stands at the start, the last within the duration, in between in order."""
        end_ns = round(subject.duration_s * NS_PER_S)
        for steps in _STEPS:
            offsets = subject.make().offsets_ns(steps)
            require(offsets[0] == 0, f"the first of {steps} steps comes after {offsets[0]} ns")
            require(offsets[-1] <= end_ns, f"the last of {steps} steps comes after the duration")
            require((np.diff(offsets) >= 0).all(), f"of {steps} steps one comes before its turn")

    def test_a_rate_begins_at_once_and_grows(self, subject: RampSubject) -> None:
        """Time starts at 0, never runs back, and is never shorter than at the full rate."""
        worths = subject.worths()
        elapsed = subject.make().elapsed_s(worths)
        require(elapsed.shape == worths.shape, f"asked for {worths.shape}, got {elapsed.shape}")
        require(abs(elapsed[0]) < _TINY_S, f"nothing is sent until {elapsed[0]} s")
        steps = np.diff(elapsed)
        require((steps >= -_TINY_S).all(), "time runs back as more is sent")
        faster = (steps < np.diff(worths) - _TINY_S).any()
        require(not faster, "the rate is above the full one somewhere")

    def test_after_the_duration_the_rate_is_full(self, subject: RampSubject) -> None:
        """To the nanosecond, from the end of the duration on."""
        worths = subject.worths()
        elapsed = subject.make().elapsed_s(worths)
        after = elapsed > subject.duration_s + _TINY_S
        require(after.any(), "the ramp has not ended after 2.5 of its durations")
        off = np.abs(np.diff(elapsed[after]) - np.diff(worths[after])).max()
        require(off < 1 / NS_PER_S, f"a gap after the ramp is off by {off:.3g} s")

    def test_every_worker_finds_the_same(self, subject: RampSubject) -> None:
        """A new instance, asked in pieces and in another order, answers the same to the bit."""
        worths = subject.worths()
        ramp = subject.make()
        whole, steps = ramp.elapsed_s(worths), ramp.offsets_ns(50)
        other = subject.make()
        pieces = [other.elapsed_s(worths[at : at + 7]) for at in range(0, len(worths), 7)]
        require(np.array_equal(np.concatenate(pieces), whole), "a piece differs from the whole")
        require(np.array_equal(other.offsets_ns(50), steps), "another instance has other steps")
        require(np.array_equal(ramp.offsets_ns(50), steps), "asking twice differs")

    def test_steps_and_rate_are_one_curve(self, subject: RampSubject) -> None:
        """Where the steps have come to a share of the load, the rate has come to about that."""
        worths = np.linspace(0.0, subject.duration_s, 200_001)
        elapsed = subject.make().elapsed_s(worths)
        offsets = subject.make().offsets_ns(1_000) / NS_PER_S
        at = np.array([0.3, 0.6, 0.9]) * subject.duration_s
        stepped = np.searchsorted(offsets, at) / 1_000
        around = 0.03 * subject.duration_s
        sent = np.interp(np.stack([at - around, at + around]), elapsed, worths)
        apart = np.abs((sent[1] - sent[0]) / (2 * around) - stepped).max()
        require(apart < _APART, f"steps and rate are {apart:.0%} of the load apart")
