"""The contract of an arrival: a pure function of plan, seed and index."""

from dataclasses import dataclass, field

import msgspec
import numpy as np

from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.ports import Arrival
from steelyard.kernel.units import NS_PER_S
from steelyard.testing.contracts.kit import Contract, require

_MANY = 20_000
_RATE_TOLERANCE = 0.05


def _plan() -> PhasePlan:
    return PhasePlan(name="profiling", request_rate=50.0, request_count=_MANY)


@dataclass(frozen=True)
class ArrivalSubject:
    """An arrival and a plan for it; `keeps_rate` is False where the plan's rate is not the mean."""

    cls: type[Arrival]
    plan: PhasePlan = field(default_factory=_plan)
    keeps_rate: bool = True

    def offsets(self, first: int, count: int, *, phase: int = 0, seed: int = 42) -> np.ndarray:
        """Return offsets by a new instance."""
        return self.cls(self.plan, phase, seed).offsets_ns(first, count)


class ArrivalContract(Contract):
    """Inherit, and override `subject` with an `ArrivalSubject`."""

    kind = "arrival"

    def test_offsets_are_whole_nanoseconds(self, subject: ArrivalSubject) -> None:
        """int64, one per index, none before the phase's start."""
        offsets = subject.offsets(0, 100)
        require(isinstance(offsets, np.ndarray), f"offsets are {type(offsets).__name__}")
        require(offsets.dtype == np.int64, f"offsets are {offsets.dtype}, not int64")
        require(offsets.shape == (100,), f"asked for 100 offsets, got shape {offsets.shape}")
        require(subject.offsets(5, 0).shape == (0,), "asked for no offsets, got some")
        require(offsets[0] >= 0, f"the first offset is {offsets[0]} ns")

    def test_time_never_runs_back(self, subject: ArrivalSubject) -> None:
        """Offsets do not decrease with the index."""
        steps = np.diff(subject.offsets(0, _MANY))
        require((steps >= 0).all(), f"an offset lies {-int(steps.min())} ns before the one before")

    def test_a_slice_is_the_same_wherever_it_is_cut(self, subject: ArrivalSubject) -> None:
        """Any worker finds any index alone: the number of workers changes no intended time."""
        whole = subject.offsets(0, 5_000)
        for first, count in ((0, 1), (1, 1), (999, 3), (1023, 2), (2_500, 1_500), (4_999, 1)):
            same = np.array_equal(subject.offsets(first, count), whole[first : first + count])
            require(same, f"offsets {first}..{first + count} depend on where the slice begins")

    def test_asking_changes_nothing(self, subject: ArrivalSubject) -> None:
        """One instance answers the same in any order."""
        arrival = subject.cls(subject.plan, 0, 42)
        late, early = arrival.offsets_ns(3_000, 10), arrival.offsets_ns(10, 10)
        require(np.array_equal(arrival.offsets_ns(3_000, 10), late), "asking twice differs")
        require(np.array_equal(subject.offsets(10, 10), early), "the order of asking matters")

    def test_the_mean_rate_is_the_plans(self, subject: ArrivalSubject) -> None:
        """Over many requests the rate is kept."""
        rate = subject.plan.request_rate
        if not subject.keeps_rate or rate is None:
            return
        for factor in (1.0, 7.0):
            plan = msgspec.structs.replace(subject.plan, request_rate=rate * factor)
            offsets = subject.cls(plan, 0, 42).offsets_ns(0, _MANY)
            got = (_MANY - 1) / (int(offsets[-1] - offsets[0]) / NS_PER_S)
            off = abs(got / (rate * factor) - 1)
            require(off < _RATE_TOLERANCE, f"asked for {rate * factor:g}/s, schedules {got:.4g}/s")
