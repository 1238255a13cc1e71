"""The workers of a run on other machines, as its supervisor has them: a seat for each.

A worker takes its seat over tcp with the keys of the run. On its machine a keeper watches it, as
the supervisor watches a role that it forked: the keeper says at once when the process is gone and
how far it had sent its leases, and several times a second what the kernel says of it. A machine
that is not heard of any more may have sent everything it was leased: then nothing of that is sent
again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from steelyard import __version__
from steelyard.domain.bench import join_messages
from steelyard.domain.bench.join_messages import (
    AskSecrets,
    ClockAnswer,
    ClockAsk,
    EndRole,
    HostIdentity,
    Joined,
    JoinRun,
    RoleEnded,
    RoleSample,
    Secrets,
)
from steelyard.domain.bench.timing import UNBOUNDED
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import FileError, UsageError
from steelyard.kernel.lifecycle import ServiceState
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.bus_messages import register_messages
from steelyard.runtime.bus_wire import CurveKeys
from steelyard.runtime.files import reason_of, write_private
from steelyard.runtime.host_facts import host_identity
from steelyard.runtime.join import Join, Placement
from steelyard.runtime.join_address import addresses_of, bind_address
from steelyard.runtime.roles import ManagedService, Seat

if TYPE_CHECKING:
    from steelyard.runtime.bus_zmq import ZmqBroker

JOIN_TIMEOUT_S = 300.0
MACHINE_LIMIT_NS = 6 * NS_PER_S
"""A machine of which nothing was heard for so long is lost: a network's hiccup is shorter."""
WORD_WAIT_NS = 1_500_000_000
"""How long a keeper may take to say how far a worker was that is known to be gone."""
KEEPER_SUFFIX = ".keeper"
DOOR_SUFFIX = ".door"
_NAME_MAX = 255

_log = logging.getLogger(__name__)

register_messages(join_messages)


@dataclass(kw_only=True)
class RemoteSpec:
    """How the workers of a run come in.

    Attributes:
        run_id: of the run.
        placement: starts them, or leaves that to a person.
        service_type: the role that is remote.
        listen: `HOST:PORT` to listen on, port 0 for any.
        advertise: `HOST` or `HOST:PORT` by which workers reach it; empty for the one listened on.
        join_file: written for whoever starts workers, removed at the end; None writes none.
        timeout_s: how long the run waits until all have joined.
        prepared: names and keys that were made before the run; None has them made now.
        secrets: values of variables that the plan names; a worker that lacks them is told.
        on_open: called with the join when workers may come.
        on_joined: called with number, service id and machine of each that came.
    """

    run_id: str
    placement: Placement
    service_type: str = "worker"
    listen: str = "127.0.0.1:0"
    advertise: str = ""
    join_file: Path | None = None
    timeout_s: float = JOIN_TIMEOUT_S
    prepared: Join | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    on_open: Callable[[Join], None] = lambda _: None
    on_joined: Callable[[int, str, HostIdentity], None] = lambda *_: None

    @property
    def controller_id(self) -> str:
        """The controller's id where workers know it already, else empty."""
        return self.prepared.controller_id if self.prepared is not None else ""


class RemoteSeats:
    """The seats of a run; the supervisor asks it about services that have one.

    Args:
        spec: how they come in.
        services: all of the run by id; those of the spec's type get a seat here.
        controller_id: who takes them in.
        run_dir: has the board.
        clock: the controller's.
        log_level: how much they log.
        on_end: called with a service, the reason and whether it ended in order, once how far it
            was is on the board.
    """

    def __init__(
        self,
        spec: RemoteSpec,
        services: Mapping[str, ManagedService],
        *,
        controller_id: str,
        run_dir: Path,
        clock: Clock,
        log_level: str,
        on_end: Callable[[ManagedService, str, bool], None],
    ) -> None:
        self._spec = spec
        self._seated = [s for s in services.values() if s.peer.service_type == spec.service_type]
        for service in self._seated:
            service.seat = Seat()
        self._by_id = {service.peer.service_id: service for service in self._seated}
        self._controller_id = controller_id
        self._run_dir = run_dir
        self._clock = clock
        self._log_level = log_level
        self._on_end = on_end
        self._broker: ZmqBroker | None = None
        self._placed = False

    @property
    def timeout_s(self) -> float:
        """How long to wait until all have joined."""
        return self._spec.timeout_s

    def members(self) -> frozenset[str]:
        """Return the ids that may join the bus besides the services themselves."""
        suffixes = (KEEPER_SUFFIX, DOOR_SUFFIX)
        return frozenset(name + suffix for name in self._by_id for suffix in suffixes)

    async def open(self, broker: "ZmqBroker") -> None:
        """Listen, let the placement start the workers, and answer what they ask.

        Raises:
            UsageError: the address can't be listened on.
            FileError: the join file can't be written.
            SteelyardError: the placement's own.
        """
        self._broker = broker
        for message_type, handler in (
            (JoinRun, self._take_seat),
            (RoleSample, self._sampled),
            (RoleEnded, self._ended),
            (ClockAsk, self._tell_time),
            (AskSecrets, self._tell_secrets),
        ):
            broker.port.subscribe(message_type, handler)
        join = self._join(broker)
        if self._spec.join_file is not None:
            write_private(self._spec.join_file, join.encode().encode())
        self._spec.on_open(join)
        self._placed = True
        joins = [join.for_worker(service.peer.index) for service in self._seated]
        await self._spec.placement.place(joins, self._lost)

    def _join(self, broker: "ZmqBroker") -> Join:
        keys = self._keys()
        try:
            bound = broker.listen(bind_address(self._spec.listen), keys)
        except zmq.ZMQError as error:
            raise UsageError(
                f"Can't listen for workers: {(error.strerror or str(error)).lower()}",
                got=self._spec.listen,
                expected="HOST:PORT of this machine, with a port that is free",
                next_step="Change --listen; port 0 takes any.",
            ) from error
        return Join(
            run_id=self._spec.run_id,
            addresses=addresses_of(bound, self._spec.advertise),
            controller_id=self._controller_id,
            service_ids=tuple(service.peer.service_id for service in self._seated),
            server_public=keys.server_public.decode(),
            client_public=keys.client_public.decode(),
            client_secret=keys.client_secret.decode(),
            log_level=self._log_level,
            version=__version__,
        )

    def _keys(self) -> CurveKeys:
        known = self._spec.prepared
        if known is None:
            return CurveKeys.generate()
        words = known.server_public, known.server_secret, known.client_public, known.client_secret
        return CurveKeys(*(word.encode() for word in words))

    async def stop(self) -> None:
        """Have the placement end what is left, and take the join file away."""
        if self._spec.join_file is not None:
            try:
                self._spec.join_file.unlink(missing_ok=True)
            except OSError as error:  # workers are to be ended all the same
                _log.warning("%s is still there: %s", self._spec.join_file, reason_of(error))
        if self._placed:
            self._placed = False
            await self._spec.placement.stop()

    # --- what the supervisor asks and says ------------------------------------------------------

    def doom(self, service: ManagedService, reason: str) -> None:
        """Count a worker as gone, once its keeper has said how far it was, or has not in time."""
        seat = _seat(service)
        if seat.doomed is not None or not service.alive:
            return
        seat.doomed = reason, self._clock.mono_ns() + WORD_WAIT_NS
        if self._broker is not None and seat.host is not None:
            self._broker.port.post(
                service.peer.service_id + KEEPER_SUFFIX, EndRole(service.peer.service_id)
            )

    def told(self, service: ManagedService, *, stopping: bool) -> None:
        """Hear that a worker changed its state; one that failed or closed is gone soon."""
        if service.error:
            self.doom(service, service.error)
        elif service.state == ServiceState.CLOSED and not stopping:
            self.doom(service, "ended without being asked to")

    def look_at(self, service: ManagedService, now_ns: int) -> None:
        """Judge a worker whose seat is taken; called a few times a second."""
        seat, vitals = _seat(service), service.vitals
        if seat.host is None or not service.alive:
            return
        if seat.doomed is not None:
            if now_ns >= seat.doomed[1]:
                self._gone(service, seat.doomed[0])
            return
        heard_ns = max(vitals.last_seen_ns if vitals is not None else 0, seat.keeper_seen_ns)
        if now_ns - heard_ns > MACHINE_LIMIT_NS:
            silence_s = (now_ns - heard_ns) / NS_PER_S
            self._gone(service, f"its machine was not heard of for {silence_s:.1f} s")
        elif vitals is not None and seat.sample is not None and vitals.silent(now_ns):
            sample, seat.sample = seat.sample, None
            reason = vitals.judge(now_ns, sample.state, sample.cpu_ticks)
            if reason is not None:
                self.doom(service, reason)

    def excuse(self, now_ns: int) -> None:
        """The watcher itself was late: silence until now proves nothing."""
        for service in self._seated:
            seat = _seat(service)
            seat.keeper_seen_ns = max(seat.keeper_seen_ns, now_ns - MACHINE_LIMIT_NS // 2)

    def _lost(self, index: int, reason: str) -> None:
        """Take the word of whoever placed a worker."""
        for service in self._seated:
            if service.peer.index == index:
                seat = _seat(service)
                if seat.host is None:
                    self._gone(service, reason)  # it never came: there is no keeper to ask
                else:
                    self.doom(service, reason)

    def _gone(self, service: ManagedService, reason: str, word: RoleEnded | None = None) -> None:
        """Write down how far it was, then tell of its end.

        Without its keeper's word all that it was leased counts as sent.
        """
        if not service.alive:
            return
        leases, last = (word.leases, word.last_lease) if word is not None else ({}, UNBOUNDED)
        try:
            board = Board(board_path(self._run_dir), len(self._seated))
        except FileError as error:
            _log.warning("how far %s was is not noted: %s", service.peer.service_id, error)
        else:
            board.set_leases(service.peer.index, leases, last)
            board.close()
        self._on_end(service, reason, word is not None and word.code == 0)

    # --- messages -------------------------------------------------------------------------------

    async def _take_seat(self, message: JoinRun) -> Joined:
        service = self._by_id.get(message.service_id)
        if service is None or service.peer.index != message.index:
            raise UsageError(f"This run has no worker {message.index} of that name")
        if message.version != __version__:
            raise UsageError(
                "The worker has another version of Steelyard than the run",
                got=message.version,
                expected=__version__,
                next_step="Install the same one on both machines.",
            )
        _check_names(message.host)
        seat = _seat(service)
        if seat.host is not None or not service.alive:
            state = "is lost" if not service.alive else "is there already"
            where = f", on {seat.host.name}" if seat.host is not None else ""
            raise UsageError(
                f"Worker {message.index} of this run {state}{where}",
                next_step="A run takes nobody in a worker's place; start the run again.",
            )
        seat.host, seat.keeper_seen_ns = message.host, self._clock.mono_ns()
        service.pid = message.pid
        _log.info("%s joins from %s", message.service_id, message.host.name)
        self._spec.on_joined(message.index, message.service_id, message.host)
        return Joined(host=host_identity())

    async def _sampled(self, message: RoleSample) -> None:
        service = self._by_id.get(message.service_id)
        if service is not None:
            seat = _seat(service)
            seat.sample, seat.keeper_seen_ns = message, self._clock.mono_ns()

    async def _ended(self, message: RoleEnded) -> None:
        service = self._by_id.get(message.service_id)
        if service is None:
            return
        doomed = _seat(service).doomed
        reason = message.reason if message.code else "ended without being asked to"
        self._gone(service, doomed[0] if doomed is not None else reason, message)

    async def _tell_time(self, _: ClockAsk) -> ClockAnswer:
        heard_ns = self._clock.mono_ns()
        return ClockAnswer(heard_ns, self._clock.mono_ns())

    async def _tell_secrets(self, message: AskSecrets) -> Secrets:
        known = self._spec.secrets
        return Secrets({name: known[name] for name in message.names if name in known})


def _check_names(host: HostIdentity) -> None:
    """Refuse names of a machine that a report or a terminal can't show as they are.

    Raises:
        UsageError: there is one.
    """
    for name in (host.name, host.host_id, host.clock_id):
        if len(name) > _NAME_MAX or not name.isprintable():
            raise UsageError(
                "The name of the worker's machine can't be shown", got=ascii(name[:_NAME_MAX]),
                expected=f"at most {_NAME_MAX} printable characters",
            )  # fmt: skip


def _seat(service: ManagedService) -> Seat:
    if service.seat is None:
        message = f"{service.peer.service_id} has no seat"
        raise RuntimeError(message)
    return service.seat
