"""Runs one service in this process: uvloop, bus, signals, and an end in bounded time."""

import asyncio
import importlib
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from steelyard.domain.bench.messages import ConfigureRun
from steelyard.kernel.errors import EXIT_OK, SteelyardError, UsageError
from steelyard.kernel.ids import make_service_id
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.bus_port import describe_error
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.process import EXIT_CHILD_FAILED, ChildEnd, point_output_at, set_title
from steelyard.runtime.service import CONTROLLER_TYPE, Peer, Service, ServiceContext
from steelyard.runtime.service_log import configure_role_logging, log_path
from steelyard.runtime.socket_dir import ipc_address, remove_socket_dir

if TYPE_CHECKING:
    from steelyard.runtime.bus_wire import CurveKeys
    from steelyard.runtime.bus_zmq import ZmqClient
    from steelyard.runtime.plugin_host import PluginHost

TERM_LIMIT_S = 1.5
PARENT_LOOKS = 20
PARENT_LOOK_S = 0.01


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a service that is started by itself finds its bus.

    Attributes:
        broker: address of a running broker; empty runs the service alone on an inline bus.
        controller_id: the service at the broker that gets heartbeats and status.
        keys: `server_public client_public client_secret`, Z85; needed for tcp.
        artifact_dir: where it logs and writes, empty for nowhere.
        plan: given to `on_configure` when the service runs alone.
    """

    broker: str = ""
    controller_id: str = CONTROLLER_TYPE
    keys: str = ""
    artifact_dir: str = ""
    log_level: str = "INFO"
    options: dict[str, Any] = {}
    plan: dict[str, Any] = {}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceConfig":
        """Read `STEELYARD_BROKER`, `_CONTROLLER_ID`, `_BUS_KEYS`, `_ARTIFACT_DIR`, `_LOG_LEVEL`."""
        return cls(
            broker=environ.get("STEELYARD_BROKER", ""),
            controller_id=environ.get("STEELYARD_CONTROLLER_ID", CONTROLLER_TYPE),
            keys=environ.get("STEELYARD_BUS_KEYS", ""),
            artifact_dir=environ.get("STEELYARD_ARTIFACT_DIR", ""),
            log_level=environ.get("STEELYARD_LOG_LEVEL", "INFO"),
        )

    def curve_keys(self) -> "CurveKeys | None":
        """Return the keys, None when there are none.

        Raises:
            UsageError: there are not three of them.
        """
        if not self.keys:
            return None
        parts = self.keys.encode().split()
        if len(parts) != 3:
            raise UsageError(
                "the keys of the bus can't be read",
                got=f"{len(parts)} words",
                expected="three: server public, client public, client secret",
            )
        from steelyard.runtime.bus_wire import CurveKeys

        return CurveKeys(parts[0], b"", parts[1], parts[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignment:
    """What a forked role is told: who it is, what class it runs, and where its bus is."""

    peer: Peer
    target: str
    socket_dir: Path
    controller_id: str
    peers: tuple[Peer, ...]
    run_dir: Path
    controller_pid: int
    log_level: str
    options: dict[str, Any]


def load_service_class(target: str) -> type[Service]:
    """Import `package.module:Class`.

    Raises:
        UsageError: there is no such class, or it isn't a Service.
    """
    module_name, _, class_name = target.partition(":")
    cls = getattr(importlib.import_module(module_name), class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, Service)):
        raise UsageError(f"{target!r} is not a service", got=cls, expected="a subclass of Service")
    return cls


def run_role(assignment: RoleAssignment, host: "PluginHost | None", child: ChildEnd) -> int:
    """Run a forked role to its end and return the exit code; the whole life of a child."""
    life = partial(_live_as_role, assignment, host)
    error, terminated = run_life(
        life, child, assignment.peer.service_id, assignment.run_dir, assignment.log_level
    )
    if terminated:
        if _parent_is_gone(assignment.controller_pid):
            # The controller can't tidy up; every role tries, one succeeds.
            remove_socket_dir(assignment.socket_dir)
        end_as_told()
    return EXIT_OK if error is None else EXIT_CHILD_FAILED


def run_life(
    life: Callable[[], Coroutine[Any, Any, bool]],
    child: ChildEnd,
    service_id: str,
    directory: Path,
    log_level: str,
) -> tuple[BaseException | None, bool]:
    """Run `life` in a loop of this child's, logging below `directory`; return how it ended.

    That is what it raised, which its parent was told, and whether a SIGTERM ended it; not both.
    """
    handler = configure_role_logging(service_id, log_path(directory), log_level, child.terminal_fd)
    if handler is not None:
        point_output_at(handler.fileno())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error, terminated = runner.run(_outcome_of(life()))
    if error is not None:
        child.last_words(describe_error(error))
        # The service has said its failure already; this is for what failed before or around it.
        level = logging.INFO if isinstance(error, SteelyardError) else logging.ERROR
        logging.getLogger("steelyard.role").log(level, "ended: %s", error, exc_info=error)
    return error, terminated


def end_as_told() -> None:
    """End by the signal that was sent, so that the parent sees what happened."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _parent_is_gone(parent_pid: int) -> bool:
    """Wait a moment for it: while a parent's threads end one by one, it is still the parent."""
    for _ in range(PARENT_LOOKS):
        if os.getppid() != parent_pid:
            return True
        time.sleep(PARENT_LOOK_S)
    return False


async def _outcome_of(life: Coroutine[Any, Any, bool]) -> tuple[BaseException | None, bool]:
    """Return what `life` raised, and its result: a service's code may raise anything."""
    task = asyncio.ensure_future(life)
    await asyncio.wait((task,))
    if task.cancelled():
        return asyncio.CancelledError("cancelled from outside"), False
    error = task.exception()
    return error, error is None and task.result()


async def _live_as_role(assignment: RoleAssignment, host: "PluginHost | None") -> bool:
    """Connect and serve; True when a SIGTERM ended it."""
    cls = load_service_class(assignment.target)
    peer = assignment.peer
    client = _zmq_client(ipc_address(assignment.socket_dir), peer.service_id, peer.service_type)
    context = ServiceContext(
        service_id=peer.service_id,
        bus=client.port,
        clock=SystemClock(),
        index=peer.index,
        options=assignment.options,
        peers=assignment.peers,
        run_dir=assignment.run_dir,
        controller_id=assignment.controller_id,
        given_host=host,
    )
    return await serve_until_told(cls, context, client)


async def serve_until_told(
    cls: type[Service], context: ServiceContext, client: "ZmqClient"
) -> bool:
    """Serve on a connection and close it; True when a SIGTERM ended it."""
    try:
        service = cls.build(context)
        with ended_by_signals(service, (signal.SIGTERM,)) as received:
            await service.serve()
        return bool(received)
    finally:
        await client.close()


def _zmq_client(
    address: str, service_id: str, service_type: str, keys: "CurveKeys | None" = None
) -> "ZmqClient":
    from steelyard.runtime.bus_zmq import ZmqClient  # inline runs do without

    return ZmqClient(address, service_id, service_type, keys=keys)


@contextmanager
def ended_by_signals(service: Service, numbers: tuple[signal.Signals, ...]) -> Iterator[list[int]]:
    """Make signals stop `service`; SIGALRM's default action ends what doesn't stop in time."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if not received:
            signal.setitimer(signal.ITIMER_REAL, TERM_LIMIT_S)
        received.append(number)
        loop.call_soon_threadsafe(service.request_stop)

    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield received
    finally:
        # A dying parent sends SIGTERM once per thread of it; the later ones must not cut the
        # rest of a graceful end short. The alarm still bounds it.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def bootstrap_and_run_service(
    service_class: type[Service],
    service_config: ServiceConfig | None = None,
    service_id: str | None = None,
) -> None:
    """Run one service in this process until SIGINT, SIGTERM, a stop command or a failure.

    With a broker (from `service_config`, else from `STEELYARD_BROKER`) the controller there
    configures and starts it. Without one it is alone on an inline bus and does both itself.

    Raises:
        BaseException: what made the service fail, after it has cleaned up.
    """
    config = service_config or ServiceConfig.from_environ(os.environ)
    name = service_id or make_service_id(service_class.service_type, os.urandom(4))
    set_title(name)
    path = log_path(Path(config.artifact_dir)) if config.artifact_dir else None
    configure_role_logging(name, path, config.log_level, None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live_alone(service_class, config, name))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, action in before.items():
            signal.signal(number, action)


async def _live_alone(service_class: type[Service], config: ServiceConfig, name: str) -> None:
    service_type = service_class.service_type
    hub = InlineHub()
    client: ZmqClient | None = None
    if config.broker:
        client = _zmq_client(config.broker, name, service_type, config.curve_keys())
    try:
        service = service_class.build(
            ServiceContext(
                service_id=name,
                bus=client.port if client else hub.connect(name, service_type),
                clock=SystemClock(),
                options=config.options,
                peers=(Peer(name, service_type, 0),),
                run_dir=Path(config.artifact_dir) if config.artifact_dir else None,
                controller_id=config.controller_id if client else "",
            )
        )
        with ended_by_signals(service, (signal.SIGINT, signal.SIGTERM)):
            await service.serve(None if client else ConfigureRun(config.plan))
    finally:
        await (client.close() if client else hub.close())
