"""A phase in one line."""

import pytest

from steelyard.app.config.describe import phase_line
from steelyard.domain.bench.plan import PhasePlan


@pytest.mark.parametrize(
    ("phase", "line"),
    [
        (
            PhasePlan(name="w", kind="warmup", concurrency=4, concurrency_ramp_s=2,
                      session_count=9),
            "w (warm-up): closed loop of 4 after a linear ramp of 2 s; ends after 9 sessions",
        ),
        (
            PhasePlan(name="p", request_rate=50, arrival="poisson", request_rate_ramp_s=60,
                      ramp="exponential", concurrency=8, duration_s=90, request_count=7),
            ("p: open loop of 50 requests/s, poisson after an exponential ramp of 60 s, "
             "at most 8 at once; ends after 7 requests or 90 s"),
        ),
        (
            PhasePlan(name="s", request_rate=9, rate_series=((0, 1), (5, 9), (9, 2)),
                      request_count=7, prefill_concurrency=3),
            ("s: open loop of 1 to 2 requests/s in 3 points, constant, at most 3 in prefill; "
             "ends after 7 requests"),
        ),
        (
            PhasePlan(name="t", arrival="fixed_schedule", cancellation_rate=0.05,
                      cancellation_delay_s=0.5),
            ("t: open loop at the times of the trace, gives up 5 % after 0.5 s; "
             "ends after its last line"),
        ),
    ],
)  # fmt: skip
def test_a_line_says_what_drives_a_phase_and_what_ends_it(phase, line):
    assert phase_line(phase) == line
