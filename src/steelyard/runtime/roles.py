"""The roles of a run as the supervisor knows them: what to start, what became of it."""

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.domain.bench.join_messages import HostIdentity, RoleSample
from steelyard.domain.bench.messages import ServiceLost
from steelyard.kernel.errors import EXIT_BUG, EXIT_UNREACHABLE, SteelyardError, exit_code_of
from steelyard.kernel.ids import make_service_id
from steelyard.kernel.lifecycle import ServiceState
from steelyard.runtime.bus_port import CommandFailedError
from steelyard.runtime.process import ChildProcess
from steelyard.runtime.service import Peer
from steelyard.runtime.vitals import HEARTBEAT_LIMIT_NS, REMOTE_LIMIT_NS, Vitals

NAMED_MAX = 3
"""Roles that an error names for one reason; of more it says how many."""
_WHO = "\0"

_log = logging.getLogger(__name__)


class SupervisorError(SteelyardError):
    """Roles did not start, or did not take a step; the exit code is what the cause has."""

    def __init__(self, what: str, codes: Iterable[int] = (), **rest: str | None) -> None:
        super().__init__(what, **rest)
        # What stopped one role can keep others waiting: a stated cause counts for more than those.
        self.exit_code = next((code for code in codes if code != EXIT_BUG), EXIT_BUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """A role to start `count` times; `target` is its class as `package.module:Class`.

    `ids` are those of its services where somebody knows them already.
    """

    service_type: str
    target: str
    count: int = 1
    required: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceDeath:
    """A role ended without being asked to. `mono_ns` is when it was noticed.

    `host` names its machine where that is not the controller's own.
    """

    service_id: str
    service_type: str
    index: int
    reason: str
    mono_ns: int
    required: bool
    host: str = ""

    @property
    def lost(self) -> ServiceLost:
        """What the other roles are told."""
        return ServiceLost(
            self.service_id, self.service_type, self.index, self.reason, self.mono_ns
        )


@dataclass(slots=True)
class Seat:
    """The place of a role on another machine, and what its keeper there says of it.

    Attributes:
        host: the machine, None until somebody took the seat.
        sample: what the kernel there last said of its process.
        keeper_seen_ns: when the keeper was last heard.
        doomed: why the role counts as gone, and until when its keeper may still say how far it was.
    """

    host: HostIdentity | None = None
    sample: RoleSample | None = None
    keeper_seen_ns: int = 0
    doomed: tuple[str, int] | None = None


@dataclass(slots=True)
class ManagedService:
    """One role as the supervisor knows it; one with a `seat` is not forked."""

    peer: Peer
    spec: RoleSpec
    state: str = ServiceState.CREATED
    registered: bool = False
    pid: int = 0
    error: str = ""
    exit_code: int = EXIT_BUG
    death: ServiceDeath | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    child: ChildProcess | None = None
    task: asyncio.Task[None] | None = None
    vitals: Vitals | None = None
    seat: Seat | None = None

    @property
    def alive(self) -> bool:
        """True until it has ended or was declared dead."""
        return self.death is None and not self.ended.is_set()

    def died(self, reason: str, now_ns: int) -> ServiceDeath:
        """Return the news that it has ended."""
        peer, host = self.peer, self.seat.host if self.seat is not None else None
        return ServiceDeath(
            peer.service_id,
            peer.service_type,
            peer.index,
            reason,
            now_ns,
            self.spec.required,
            host.name if host is not None else "",
        )


def services_of(spec: RoleSpec) -> list[ManagedService]:
    """Return the services of a role, each with an id of its own."""
    ids = spec.ids or tuple(
        make_service_id(spec.service_type, os.urandom(4)) for _ in range(spec.count)
    )
    return [
        ManagedService(Peer(service_id, spec.service_type, index), spec)
        for index, service_id in enumerate(ids)
    ]


def vitals_of(service: ManagedService, now_ns: int) -> Vitals:
    """Return the life signs of a service that is there now; a network may hold up heartbeats."""
    return Vitals(now_ns, HEARTBEAT_LIMIT_NS if service.seat is None else REMOTE_LIMIT_NS)


def late_error(
    missing: Sequence[ManagedService], timeout_s: float, run_dir: Path
) -> SupervisorError:
    """Return the error to raise for roles that are not there in time."""
    away = [service for service in missing if service.seat is not None]
    if not away:
        names = ", ".join(service.peer.service_id for service in missing)
        return SupervisorError(
            f"not registered within {timeout_s:g} s: {names}",
            next_step=f"See {run_dir}/logs/steelyard.log.",
        )
    numbers = ", ".join(str(service.peer.index) for service in away)
    return SupervisorError(
        f"Within {timeout_s:g} s these workers did not join: {numbers}",
        [EXIT_UNREACHABLE],
        next_step="Start a `steelyard worker` for each, where the run's address is reached; "
        "--join-timeout gives them longer.",
    )


def early_ends_of(services: Iterable[ManagedService]) -> SupervisorError | None:
    """Return which required roles ended while the roles started, None for none."""
    dead = [service for service in services if service.death and service.spec.required]
    if not dead:
        return None
    named: dict[str, list[str]] = {}
    for service in dead:
        reason = service.death.reason if service.death else ""
        named.setdefault(reason, []).append(service.peer.service_id)
    reasons = "; ".join(f"{_listed(names)}: {reason}" for reason, names in named.items())
    return SupervisorError(f"roles ended while starting: {reasons}", [s.exit_code for s in dead])


def refusal_of(
    asked: Sequence[ManagedService], answers: Sequence[object]
) -> SupervisorError | None:
    """Return why required roles did not take a step; those of other roles are only logged.

    `answers` are those of a gather with `return_exceptions`, in the order of `asked`.
    """
    refusals = []
    named: dict[str, list[str]] = {}
    for service, given in zip(asked, answers, strict=True):
        name, answer = service.peer.service_id, _with_its_cause(service, given)
        if not isinstance(answer, BaseException):
            continue
        if service.spec.required or not isinstance(answer, SteelyardError):
            refusals.append(answer)
            text = str(answer).rstrip(".").replace(f"{name} is gone: ", "")
            named.setdefault(text.replace(repr(name), _WHO), []).append(name)
        else:
            _log.warning("%s is not required, going on: %s", name, answer)
    if not refusals:
        return None
    text = "; ".join(
        text.replace(_WHO, _listed([repr(name) for name in names])) for text, names in named.items()
    )
    return SupervisorError(text, map(exit_code_of, refusals))


def _with_its_cause(service: ManagedService, answer: object) -> object:
    """Have a failed command say why its role failed, not how that ended it: cut short, or gone."""
    if not isinstance(answer, CommandFailedError) or not service.error:
        return answer
    name = service.peer.service_id
    return CommandFailedError(name, answer.message, service.error, service.exit_code)


def _listed(names: Sequence[str]) -> str:
    """Return names in a row; of many the first, and how many more there are."""
    more = len(names) - NAMED_MAX
    if more > 0:
        return f"{', '.join(names[:NAMED_MAX])} and {more} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
