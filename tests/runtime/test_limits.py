"""A worker's share of a phase's limits."""

import numpy as np

from steelyard.builtin.arrival.constant import ConstantArrival
from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.messages import BeginPhase, SetQuota
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan
from steelyard.runtime.limits import Limits
from steelyard.runtime.phase_load import PhaseLoad
from steelyard.runtime.slots import UNBOUNDED

OPEN_LOOP = ConstantArrival(PhasePlan(name="p", request_rate=1.0), 0, 0)


def limits(load: PhaseLoad, concurrency, prefill=None, *, rank=0, size=1) -> Limits:
    message = BeginPhase(
        phase=0, epoch=0, start_ns=1000, concurrency=concurrency, prefill_concurrency=prefill,
        leases=(), rank=rank, size=size,
    )  # fmt: skip
    return Limits(load, message, ChatEndpoint(EndpointPlan()), lambda: None)


def test_only_an_open_loop_can_do_without_a_limit() -> None:
    """A closed loop without slots sends nothing rather than all at once."""
    assert limits(PhaseLoad(arrival=OPEN_LOOP), None).slots.open == UNBOUNDED
    assert limits(PhaseLoad(), None).slots.open == 0


def test_a_gate_is_there_only_where_prefills_are_limited() -> None:
    """Everything else passes without a look."""
    assert limits(PhaseLoad(), 4).gate is None
    gate = limits(PhaseLoad(), 4, 2).gate
    assert gate is not None
    assert gate.slots.open == 2
    assert not gate.full


def test_the_slots_of_all_workers_are_dealt_out_in_turn() -> None:
    """Both limits, each along its own ramp; after a loss by the new place."""
    load = PhaseLoad(
        concurrency_opens_ns=np.array([0, 10, 20, 30], np.int64),
        prefill_opens_ns=np.array([0, 7], np.int64),
    )
    second = limits(load, 2, 1, rank=1, size=2)
    assert (second.slots.open, second.slots.next_ns) == (0, 1010)
    assert second.gate.full
    assert second.gate.slots.next_ns == 1007
    quota = SetQuota(phase=0, concurrency=4, prefill_concurrency=2, rank=0, size=1)
    second.change(quota, 1012)
    assert (second.slots.open, second.slots.next_ns) == (2, 1020)
    assert second.gate.slots.open == 2
    assert second.gate.free_since_ns == 1012
