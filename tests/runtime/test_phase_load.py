"""What a phase's plan asks of its plugins."""

import numpy as np
import pytest

from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.warp import WarpedArrival
from steelyard.runtime.phase_load import OFFSETS_AHEAD, Beat, PhaseLoad, phase_load
from steelyard.runtime.plugin_host import PluginHost

MS = 1_000_000


def load(**phase) -> PhaseLoad:
    plan = Plan(
        run_id="r",
        models=("m",),
        endpoint=EndpointPlan(),
        phases=(PhasePlan(name="warmup"), PhasePlan(name="profiling", **phase)),
        artifact_dir="",
    )
    return phase_load(PluginHost.standard(), plan, 1)


def test_a_plain_closed_loop_asks_for_nothing() -> None:
    """No arrival, no ramp, nothing to give up."""
    assert load(concurrency=4) == PhaseLoad()


@pytest.mark.parametrize("limit", ["concurrency", "prefill_concurrency"])
def test_a_ramp_says_when_each_slot_opens(limit) -> None:
    """Of all workers' slots, after the phase's start."""
    ready = load(**{limit: 5, f"{limit}_ramp_s": 0.4})
    opens = {
        "concurrency": ready.concurrency_opens_ns,
        "prefill_concurrency": ready.prefill_opens_ns,
    }
    assert opens.pop(limit).tolist() == [0, 100 * MS, 200 * MS, 300 * MS, 400 * MS]
    assert list(opens.values()) == [None]


def test_a_ramp_of_a_limit_that_is_not_there_is_nothing() -> None:
    """A duration alone ramps nothing."""
    assert load(request_rate=5.0, concurrency_ramp_s=1.0).concurrency_opens_ns is None


def test_the_ramp_is_the_one_that_the_plan_names() -> None:
    """An exponential ramp leaves its later slots closer together."""
    opens = load(concurrency=5, concurrency_ramp_s=1.0, ramp="exponential").concurrency_opens_ns
    assert opens is not None
    gaps = np.diff(opens)
    assert (np.diff(gaps) < 0).all()


def test_a_rate_is_warped_by_its_ramp_and_its_series() -> None:
    """Without either the arrival is the plugin itself."""
    assert not isinstance(load(request_rate=100.0).arrival, WarpedArrival)
    plain = load(request_rate=100.0).arrival.offsets_ns(0, 500)
    ramped = load(request_rate=100.0, request_rate_ramp_s=2.0).arrival.offsets_ns(0, 500)
    assert ramped[-1] - plain[-1] == pytest.approx(1000 * MS, abs=1)
    series = load(request_rate=100.0, rate_series=((0.0, 50.0), (1.0, 100.0))).arrival
    assert series.offsets_ns(0, 500)[-1] - plain[-1] == pytest.approx(250 * MS, abs=1)


def test_what_is_given_up_is_drawn_by_phase() -> None:
    """The share and the delay are the plan's."""
    ready = load(concurrency=1, cancellation_rate=0.25, cancellation_delay_s=0.5)
    assert ready.cancel_delay_ns == 500 * MS
    drawn = [ready.cancel_draws.given_up(index) for index in range(4_000)]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.03)


def test_a_beat_is_the_arrivals_wherever_it_is_asked() -> None:
    """Forward, back, and over the edge of what was drawn ahead."""
    arrival = load(request_rate=1000.0).arrival
    beat = Beat(arrival, 7 * MS)
    for index in (0, 1, OFFSETS_AHEAD - 1, OFFSETS_AHEAD, 3 * OFFSETS_AHEAD, 2):
        assert beat.due_ns(index) == 7 * MS + index * MS
