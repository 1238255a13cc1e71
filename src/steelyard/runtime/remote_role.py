"""A worker's process on another machine than its run's controller: its bus, its clock, its life."""

import asyncio
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from steelyard.domain.bench.clock_border import ClockBorder
from steelyard.domain.bench.clock_offset import ClockEstimate
from steelyard.kernel.errors import EXIT_OK, SteelyardError
from steelyard.runtime.bootstrap import ended_by_signals, load_service_class, outcome_of
from steelyard.runtime.bus_port import describe_error
from steelyard.runtime.bus_zmq import ZmqClient
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.join import Join
from steelyard.runtime.join_door import keys_of
from steelyard.runtime.process import EXIT_CHILD_FAILED, ChildEnd, point_output_at
from steelyard.runtime.service import Peer, ServiceContext
from steelyard.runtime.service_log import configure_role_logging, log_path


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
    handler = configure_role_logging(
        join.service_id, log_path(assignment.scratch), join.log_level, child.terminal_fd
    )
    if handler is not None:
        point_output_at(handler.fileno())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error, terminated = runner.run(outcome_of(_live(assignment)))
    if error is not None:
        child.last_words(describe_error(error))
        level = logging.INFO if isinstance(error, SteelyardError) else logging.ERROR
        logging.getLogger("steelyard.role").log(level, "ended: %s", error, exc_info=error)
        return error.exit_code if isinstance(error, SteelyardError) else EXIT_CHILD_FAILED
    if terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    return EXIT_OK


async def _live(assignment: RemoteAssignment) -> bool:
    """Connect and serve; True when a SIGTERM ended it."""
    join = assignment.join
    cls = load_service_class(assignment.target)
    border = ClockBorder(ClockEstimate(), time.monotonic_ns, same_clock=assignment.same_clock)
    client = ZmqClient(
        assignment.address, join.service_id, cls.service_type, keys=keys_of(join), border=border
    )
    try:
        service = cls.build(
            RemoteContext(
                service_id=join.service_id,
                bus=client.port,
                clock=SystemClock(),
                index=join.index,
                peers=(Peer(join.service_id, cls.service_type, join.index),),
                run_dir=assignment.scratch,
                controller_id=join.controller_id,
                border=border,
            )
        )
        with ended_by_signals(service, (signal.SIGTERM,)) as received:
            await service.serve()
        return bool(received)
    finally:
        await client.close()
