"""What a phase's plan asks of its plugins, ready for a worker's engine."""

from dataclasses import dataclass

import numpy as np

from steelyard.domain.bench.cancellation import CancelDraws
from steelyard.domain.bench.plan import PhasePlan, Plan
from steelyard.domain.bench.ports import Arrival, Ramp
from steelyard.domain.bench.warp import RateSeries, WarpedArrival
from steelyard.kernel.units import seconds_to_ns
from steelyard.runtime.plugin_host import PluginHost

OFFSETS_AHEAD = 4096


@dataclass(frozen=True)
class PhaseLoad:
    """The beat and the limits' growth of one phase, over all workers.

    Attributes:
        arrival: None for a closed loop.
        concurrency_opens_ns, prefill_opens_ns: int64 ns after the phase's start at which each slot
            of the limit opens; None opens all of them at once.
        cancel_draws: which requests are given up; None gives up none.
        cancel_delay_ns: how long after they were sent.
        replays: the turns of a conversation have times of their own, as its beginning has.
    """

    arrival: Arrival | None = None
    concurrency_opens_ns: np.ndarray | None = None
    prefill_opens_ns: np.ndarray | None = None
    cancel_draws: CancelDraws | None = None
    cancel_delay_ns: int = 0
    replays: bool = False


class Beat:
    """When each index of an open loop is due.

    Args:
        arrival: gives the offsets.
        start_ns: when the phase starts, CLOCK_MONOTONIC.
    """

    def __init__(self, arrival: Arrival, start_ns: int) -> None:
        self._arrival = arrival
        self._start_ns = start_ns
        self._first = 0
        self._offsets = np.empty(0, np.int64)

    def due_ns(self, index: int) -> int:
        """Return when `index` is due, CLOCK_MONOTONIC; offsets are drawn `OFFSETS_AHEAD`."""
        at = index - self._first
        if not 0 <= at < len(self._offsets):
            self._first, at = index, 0
            self._offsets = self._arrival.offsets_ns(index, OFFSETS_AHEAD)
        return self._start_ns + int(self._offsets[at])


def phase_load(host: PluginHost, plan: Plan, number: int) -> PhaseLoad:
    """Return the load of a phase of the plan.

    Raises:
        PluginError: its arrival or ramp can't be made.
    """
    phase = plan.phases[number]
    draws = None
    if phase.cancellation_rate > 0:
        draws = CancelDraws(plan.seed, number, phase.cancellation_rate)
    return PhaseLoad(
        arrival=arrival_of(host, plan, number),
        concurrency_opens_ns=_openings(
            host, plan, number, phase.concurrency, phase.concurrency_ramp_s
        ),
        prefill_opens_ns=_openings(
            host, plan, number, phase.prefill_concurrency, phase.prefill_concurrency_ramp_s
        ),
        cancel_draws=draws,
        cancel_delay_ns=seconds_to_ns(phase.cancellation_delay_s),
        replays=phase.fixed_schedule,
    )


def arrival_of(host: PluginHost, plan: Plan, number: int) -> Arrival | None:
    """Return the schedule of a phase of the plan; None for a closed loop.

    Raises:
        PluginError: its arrival or ramp can't be made.
    """
    phase = plan.phases[number]
    if not phase.open_loop:
        return None
    arrival: Arrival = host.create("arrival", phase.arrival, phase, number, plan.seed)
    ramp: Ramp | None = None
    if phase.request_rate_ramp_s > 0:
        ramp = host.create("ramp", phase.ramp, phase.request_rate_ramp_s, plan.seed, number)
    series = RateSeries(phase.rate_series) if phase.rate_series else None
    if ramp is None and series is None:
        return arrival
    return WarpedArrival(arrival, ramp=ramp, ramp_s=phase.request_rate_ramp_s, series=series)


def _openings(
    host: PluginHost, plan: Plan, number: int, limit: int | None, ramp_s: float
) -> np.ndarray | None:
    if limit is None or ramp_s <= 0:
        return None
    phase: PhasePlan = plan.phases[number]
    ramp: Ramp = host.create("ramp", phase.ramp, ramp_s, plan.seed, number)
    return ramp.offsets_ns(limit)
