"""What the timing machine is told, and what it wants done."""

import msgspec

from steelyard.domain.bench.messages import (
    AllPhasesDone,
    BeginPhase,
    GrantLeases,
    LeaseAck,
    PhaseCompleted,
    PhaseSendingComplete,
    PhaseStarted,
    PhaseTimeout,
    SetQuota,
    StopRun,
    StopSending,
)


class Ready(msgspec.Struct, frozen=True):
    """The first data set entries and these workers (by number) are ready.

    `scheduled` is how many conversations a fixed schedule has; None where no phase has one. It can
    be known only when the whole data set is ready.
    """

    workers: tuple[int, ...]
    scheduled: int | None = None


class WorkerLost(msgspec.Struct, frozen=True):
    """A worker is dead; how far it got is read from its board, in the terms of `LeaseAck`."""

    worker: int
    sent_to: dict[int, int]
    last_lease: int


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


class Tell(msgspec.Struct, frozen=True):
    """Wanted: send `message` to worker number `worker`."""

    worker: int
    message: BeginPhase | GrantLeases | StopSending | SetQuota


class Announce(msgspec.Struct, frozen=True):
    """Wanted: publish `message`."""

    message: PhaseStarted | PhaseSendingComplete | PhaseCompleted | PhaseTimeout | AllPhasesDone


class WakeAt(msgspec.Struct, frozen=True):
    """Wanted: a `Tick` at this time."""

    at_ns: int


Event = Ready | LeaseAck | WorkerLost | StopRun | Tick
Action = Tell | Announce | WakeAt
