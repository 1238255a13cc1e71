"""The service manager: starts the roles of a run, watches them, and ends them."""

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import setproctitle

from steelyard.kernel.clock import Clock
from steelyard.kernel.ids import make_service_id
from steelyard.runtime.bootstrap import RoleAssignment, load_service_class, run_role
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.bus_messages import RegisterService, ServiceStatus, StartService, StopService
from steelyard.runtime.bus_port import BusPort, describe_error
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.process import ExitStatus, fork_child, set_title
from steelyard.runtime.role_watch import RoleWatch
from steelyard.runtime.roles import (
    ManagedService,
    RoleSpec,
    ServiceDeath,
    SupervisorError,
    early_ends_of,
    late_error,
    refusal_of,
    services_of,
    vitals_of,
)
from steelyard.runtime.service import CONTROLLER_TYPE, ServiceContext
from steelyard.runtime.socket_dir import ipc_address, make_socket_dir, remove_socket_dir

if TYPE_CHECKING:
    from steelyard.runtime.bus_zmq import ZmqBroker
    from steelyard.runtime.plugin_host import PluginHost
    from steelyard.runtime.remote_seats import RemoteSeats, RemoteSpec

REGISTER_TIMEOUT_S = 30.0
STEP_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0
END_WAIT_MIN_S = 0.5

__all__ = ["ManagedService", "RoleSpec", "ServiceDeath", "Supervisor", "SupervisorError"]

_log = logging.getLogger(__name__)


class _Hub(Protocol):
    """What both hubs offer a supervisor besides carrying parcels."""

    def drop(self, service_id: str) -> None: ...

    async def close(self) -> None: ...


class Supervisor:
    """Starts roles as processes or tasks behind one interface.

    `fork()` before any event loop, then `await start()`, `configure_all`, `start_all`, and at the
    end always `await stop()` (or `kill()` without a loop). `on_death` is called from the loop,
    once per service, for each role that ended, failed or hung without being asked to stop; the
    other roles get a `ServiceLost`.
    """

    def __init__(
        self,
        mode: Literal["process", "inline"],
        roles: Sequence[RoleSpec],
        *,
        run_dir: Path,
        on_death: Callable[[ServiceDeath], None],
        host: "PluginHost | None" = None,
        clock: Clock | None = None,
        log_level: str = "INFO",
        remote: "RemoteSpec | None" = None,
    ) -> None:
        self.mode = mode
        self.run_dir = run_dir
        known_id = remote.controller_id if remote is not None else ""
        self.controller_id = known_id or make_service_id(CONTROLLER_TYPE, os.urandom(4))
        self._on_death = on_death
        self._host = host
        self._clock = clock or SystemClock()
        self._log_level = log_level
        self.services = {
            service.peer.service_id: service for spec in roles for service in services_of(spec)
        }
        self.peers = tuple(service.peer for service in self.services.values())
        self._remote = self._seats(remote) if remote is not None else None
        self._socket_dir: Path | None = None
        self._broker_class: type[ZmqBroker]
        self._old_title = ""
        self._hub: _Hub | None = None
        self._port: BusPort | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def bus(self) -> BusPort:
        """The controller's bus, from `start` on.

        Raises:
            SupervisorError: not started.
        """
        if self._port is None:
            raise SupervisorError("the bus is not up yet", next_step="await start() first.")
        return self._port

    def _seats(self, spec: "RemoteSpec") -> "RemoteSeats":
        from steelyard.runtime.remote_seats import RemoteSeats  # few runs have them

        return RemoteSeats(
            spec,
            self.services,
            controller_id=self.controller_id,
            run_dir=self.run_dir,
            clock=self._clock,
            log_level=self._log_level,
            on_end=self._seat_ended,
        )

    def fork(self) -> None:
        """Fork the roles; nothing to do in mode `inline`. They wait for `start`.

        Raises:
            ProcessError: a loop or other threads exist in this process.
        """
        if self.mode == "inline":
            return
        self._socket_dir = make_socket_dir()
        # Inline runs do without it; here it is loaded before the fork, so that all share it.
        from steelyard.runtime.bus_zmq import ZmqBroker

        self._broker_class = ZmqBroker
        # Frozen objects are never visited by a collector, so their pages stay shared.
        gc.collect()
        gc.freeze()
        for service in self.services.values():
            if service.seat is not None:
                continue
            assignment = RoleAssignment(
                peer=service.peer,
                target=service.spec.target,
                socket_dir=self._socket_dir,
                controller_id=self.controller_id,
                peers=self.peers,
                run_dir=self.run_dir,
                controller_pid=os.getpid(),
                log_level=self._log_level,
                options=service.spec.options,
            )
            main = partial(run_role, assignment, self._host)
            service.child = fork_child(service.peer.service_id, main)
            service.pid = service.child.pid
        self._old_title = setproctitle.getproctitle()
        set_title(self.controller_id)

    async def start(self, timeout_s: float | None = None) -> None:
        """Bring the bus up and wait until every role is registered; remote ones have longer.

        Raises:
            SupervisorError: a required role ended or is not there in time; all are stopped then.
        """
        timeout_s = timeout_s or (self._remote.timeout_s if self._remote else REGISTER_TIMEOUT_S)
        if self.mode == "process":
            await self._open_broker()
        else:
            self._open_inline()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait_registered()
        except TimeoutError:
            missing = [self.services[service_id] for service_id in self._missing()]
            await self.stop()
            raise late_error(missing, timeout_s, self.run_dir) from None
        failure = early_ends_of(self.services.values())
        if failure is not None:
            await self.stop()
            raise failure

    async def configure_all(
        self, message: msgspec.Struct, timeout_s: float = STEP_TIMEOUT_S
    ) -> None:
        """Command every living role with `message` (a `ConfigureRun`).

        Raises:
            SupervisorError: a required role refused, failed or didn't answer; it says which.
        """
        await self._command_all(message, timeout_s)

    async def start_all(self, timeout_s: float = STEP_TIMEOUT_S) -> None:
        """Command every living role to start.

        Raises:
            SupervisorError: as `configure_all`.
        """
        await self._command_all(StartService(), timeout_s)

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask every role to stop, wait, kill what is left, take the bus down. Idempotent."""
        self._stopping = True
        if self._port is not None:
            await self._ask_to_stop(timeout_s)
        self._end_the_rest()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait((self._watcher,))
        if self._remote is not None:
            await self._remote.stop()
        tasks = [s.task for s in self.services.values() if s.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        if self._hub is not None:
            await self._hub.close()
        self._release()

    def kill(self) -> None:
        """End every forked role at once, without a loop; for a start that never came to be."""
        self._stopping = True
        self._end_the_rest()
        self._release()

    async def _open_broker(self) -> None:
        if self._socket_dir is None:
            raise SupervisorError(
                "the roles are not forked", next_step="Call fork() before the event loop starts."
            )
        broker = self._broker_class(
            ipc_address(self._socket_dir),
            self.controller_id,
            CONTROLLER_TYPE,
            allowed=frozenset(self.services) | (self._remote.members() if self._remote else set()),
            on_seen=self._seen,
        )
        self._hub, self._port = broker, broker.port
        for service in self.services.values():
            if service.child is not None:
                service.child.watch(partial(self._child_ended, service))
        self._listen(broker.port)
        watch = RoleWatch(self.services, self._remote, self._clock, self._declare_dead)
        self._watcher = asyncio.ensure_future(watch.run())
        if self._remote is not None:
            await self._remote.open(broker)

    def _listen(self, port: BusPort) -> None:
        port.handle_here()
        port.subscribe(RegisterService, self._registered)
        port.subscribe(ServiceStatus, self._status)

    def _open_inline(self) -> None:
        hub = InlineHub()
        self._hub, self._port = hub, hub.connect(self.controller_id, CONTROLLER_TYPE)
        self._listen(self._port)
        for service in self.services.values():
            port = hub.connect(service.peer.service_id, service.peer.service_type)
            service.pid = os.getpid()
            service.task = asyncio.ensure_future(self._live_inline(service, port))
            service.task.add_done_callback(partial(self._task_ended, service))

    async def _live_inline(self, service: ManagedService, port: BusPort) -> None:
        cls = load_service_class(service.spec.target)
        peer = service.peer
        context = ServiceContext(
            service_id=peer.service_id,
            bus=port,
            clock=self._clock,
            index=peer.index,
            options=service.spec.options,
            peers=self.peers,
            run_dir=self.run_dir,
            controller_id=self.controller_id,
            given_host=self._host,
        )
        await cls.build(context).serve()

    async def _wait_registered(self) -> None:
        while self._missing():
            self._changed.clear()
            await self._changed.wait()
            if any(s.death and s.spec.required for s in self.services.values()):
                return

    def _missing(self) -> list[str]:
        return [sid for sid, s in self.services.items() if s.alive and not s.registered]

    async def _command_each(
        self, asked: Sequence[ManagedService], message: msgspec.Struct, timeout_s: float
    ) -> list[object]:
        ids = [service.peer.service_id for service in asked]
        commands = [self.bus.command(each, message, timeout_s=timeout_s) for each in ids]
        return list(await asyncio.gather(*commands, return_exceptions=True))

    async def _command_all(self, message: msgspec.Struct, timeout_s: float) -> None:
        asked = [s for s in self.services.values() if s.alive]
        refusal = refusal_of(asked, await self._command_each(asked, message, timeout_s))
        if refusal is not None:
            raise refusal

    async def _ask_to_stop(self, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        asked = [s for s in self.services.values() if s.alive and s.registered]
        for answer in await self._command_each(asked, StopService(), timeout_s):
            if isinstance(answer, BaseException):
                _log.warning("%s", answer)
        # A role that failed is not asked, but it too may be busy with its cleanup.
        left_s = max(deadline - asyncio.get_running_loop().time(), END_WAIT_MIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                for service in self.services.values():
                    if service.registered or service.death:
                        await service.ended.wait()

    def _end_the_rest(self) -> None:
        for service in self.services.values():
            if service.child is not None and service.child.status() is None:
                if service.registered and not service.death:
                    _log.warning("killed %s, which did not stop", service.peer.service_id)
                service.child.kill()
            if service.task is not None:
                service.task.cancel()
            service.ended.set()

    def _release(self) -> None:
        if self._socket_dir is None:
            return
        remove_socket_dir(self._socket_dir)
        self._socket_dir = None
        gc.unfreeze()
        if self._old_title:
            setproctitle.setproctitle(self._old_title)

    async def _registered(self, message: RegisterService) -> None:
        service = self.services[message.service_id]
        service.registered = True
        service.vitals = vitals_of(service, self._clock.mono_ns())
        self._changed.set()

    async def _status(self, message: ServiceStatus) -> None:
        service = self.services[message.service_id]
        service.state = message.state
        if message.error:
            service.error, service.exit_code = message.error, message.exit_code
        if service.seat is not None and self._remote is not None:
            self._remote.told(service, stopping=self._stopping)
        elif message.error:
            self._declare_dead(service, message.error)

    def _seen(self, service_id: str) -> None:
        service = self.services.get(service_id)
        if service is not None and service.vitals is not None:
            service.vitals.seen(self._clock.mono_ns())

    def _child_ended(self, service: ManagedService, status: ExitStatus) -> None:
        self._ended(service)
        if not (self._stopping and service.registered):
            self._declare_dead(service, str(status))
        elif status.code:
            # It was ended by another's signal: nobody has to wait for its answer.
            _log.warning("%s ended with %s", service.peer.service_id, status)
            self.bus.forget(service.died(str(status), self._clock.mono_ns()).lost)

    def _task_ended(self, service: ManagedService, task: asyncio.Task[None]) -> None:
        self._ended(service)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._declare_dead(service, describe_error(error))
        elif not self._stopping:
            self._declare_dead(service, "ended without being asked to")

    def _seat_ended(self, service: ManagedService, reason: str, in_order: bool) -> None:  # noqa: FBT001  as the callback has it
        self._ended(service)
        if not (self._stopping and service.registered and in_order):
            self._declare_dead(service, reason)

    def _ended(self, service: ManagedService) -> None:
        service.ended.set()
        if self._hub is not None:
            self._hub.drop(service.peer.service_id)

    def _declare_dead(self, service: ManagedService, reason: str) -> None:
        if service.death is not None:
            return
        service.death = service.died(reason, self._clock.mono_ns())
        self._changed.set()
        if self._stopping:
            _log.warning("%s: %s", service.peer.service_id, reason)
            return
        self.bus.forget(service.death.lost, service.exit_code)
        self.bus.post("", service.death.lost)
        self._on_death(service.death)
