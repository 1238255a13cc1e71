"""A worker's process on another machine than its run's controller: its bus, its clock, its life."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steelyard.domain.bench.clock_border import ClockBorder
from steelyard.domain.bench.clock_offset import ClockEstimate
from steelyard.kernel.errors import EXIT_OK, SteelyardError
from steelyard.runtime.bootstrap import (
    end_as_told,
    load_service_class,
    run_life,
    serve_until_told,
)
from steelyard.runtime.bus_zmq import ZmqClient
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.join import Join
from steelyard.runtime.join_door import keys_of
from steelyard.runtime.process import EXIT_CHILD_FAILED, ChildEnd
from steelyard.runtime.service import Peer, ServiceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAssignment:
    """What the process of a remote worker is told.

    Attributes:
        join: who it is, and the keys.
        address: of the controller's bus.
        target: its class as `package.module:Class`, made with a `RemoteContext`.
        scratch: its own directory on this machine.
        same_clock: the controller reads the same CLOCK_MONOTONIC, as far as can be told.
    """

    join: Join
    address: str
    target: str
    scratch: Path
    same_clock: bool


@dataclass(kw_only=True)
class RemoteContext(ServiceContext):
    """What a remote worker is given besides: `run_dir` is its scratch directory.

    Attributes:
        border: moves the times of all its messages.
    """

    border: ClockBorder


def run_remote_role(assignment: RemoteAssignment, child: ChildEnd) -> int:
    """Run a remote worker to its end and return the exit code; the whole life of a child."""
    join = assignment.join
    life = partial(_live, assignment)
    error, terminated = run_life(life, child, join.service_id, assignment.scratch, join.log_level)
    if terminated:
        end_as_told()
    if isinstance(error, SteelyardError):
        return error.exit_code
    return EXIT_OK if error is None else EXIT_CHILD_FAILED


async def _live(assignment: RemoteAssignment) -> bool:
    """Connect and serve; True when a SIGTERM ended it."""
    join = assignment.join
    cls = load_service_class(assignment.target)
    border = ClockBorder(ClockEstimate(), time.monotonic_ns, same_clock=assignment.same_clock)
    client = ZmqClient(
        assignment.address, join.service_id, cls.service_type, keys=keys_of(join), border=border
    )
    context = RemoteContext(
        service_id=join.service_id,
        bus=client.port,
        clock=SystemClock(),
        index=join.index,
        peers=(Peer(join.service_id, cls.service_type, join.index),),
        run_dir=assignment.scratch,
        controller_id=join.controller_id,
        border=border,
    )
    return await serve_until_told(cls, context, client)
