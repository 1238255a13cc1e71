"""What a run's totals come to."""

import pytest

from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.summarize import asked_per_s, phase_rates
from steelyard.domain.bench.totals import PhaseSpan, Totals

S = 1_000_000_000
SPAN = PhaseSpan(sent=101, first_intended_ns=5 * S, last_intended_ns=25 * S)


@pytest.mark.parametrize(
    ("phase", "rate"),
    [
        (PhasePlan(name="p", request_rate=8), 8),
        (PhasePlan(name="p", request_rate=8, request_rate_ramp_s=10), 5),
        (PhasePlan(name="p", request_rate=8, rate_series=((0, 1), (20, 8))), 5),
        (PhasePlan(name="p", arrival="fixed_schedule"), 5),
    ],
)
def test_the_rate_asked_for_is_the_mean_of_a_schedule_that_changes(
    phase: PhasePlan, rate: float
) -> None:
    """A hundred gaps in twenty seconds; a steady rate is the plan's own."""
    assert asked_per_s(phase, SPAN) == rate


def test_a_schedule_of_one_request_has_no_rate() -> None:
    """Nor has one in which nothing was sent."""
    replay = PhasePlan(name="p", arrival="fixed_schedule")
    assert asked_per_s(replay, PhaseSpan(sent=1, first_intended_ns=5, last_intended_ns=5)) == 0
    assert asked_per_s(replay, PhaseSpan()) == 0


def test_open_loops_are_held_to_their_schedules_and_closed_ones_have_none() -> None:
    """Replays as well as rates; a warm-up is nobody's concern."""
    phases = (
        PhasePlan(name="w", kind="warmup", request_rate=9),
        PhasePlan(name="closed", concurrency=3),
        PhasePlan(name="rate", request_rate=9),
        PhasePlan(name="replay", arrival="fixed_schedule"),
    )
    plan = Plan(
        run_id="r", models=("m",), endpoint=EndpointPlan(), phases=phases, artifact_dir="/nowhere"
    )
    totals = Totals(phases)
    assert [rate.name for rate in phase_rates(plan, totals)] == ["rate", "replay"]
