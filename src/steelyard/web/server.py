"""Serves a fleet: its coordinator, its keys and its app in one process, until it is told to end."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvicorn

from steelyard.app.fleet.connection import (
    Connection,
    is_loopback,
    read_connection,
    write_connection,
)
from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.domain.fleet.access import Role
from steelyard.domain.fleet.states import WorkerState
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.audit_log import AuditLog
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import ledger_url_for
from steelyard.web.app import create_app
from steelyard.web.door import origin_of
from steelyard.web.guard import Bounds
from steelyard.web.punctual import PunctualProtocol

DEFAULT_PORT = 7600
FIRST_KEY = "first"
_BACKLOG = 512
_CONNECTIONS_MAX = 1_000
_HEADERS_MAX_BYTES = 32_768
_WEBSOCKET_MAX_BYTES = 4_096
_LOOK_S = 0.1
_ENDS = (signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger("steelyard.web")


WORD_AFTER_S = 3.0
"""Who waits longer for the start is told that it goes on."""
_WAITING = "Still starting: the ledger is waited for, or another coordinator's end."


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a fleet is served.

    Attributes:
        fleet: the coordinator's own.
        host, port: where to listen; port 0 takes a free one.
        certfile, keyfile: of TLS, in PEM form.
        insecure_http: listen beyond this machine without TLS; keys are then readable on the way.
        new_admin_key: make another admin's key, for who lost theirs.
        drain_s: how long attempts may go on after the first Ctrl-C.
        origins: of pages that may follow events, beside those of this service's own host.
    """

    fleet: FleetSettings = FleetSettings()
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    certfile: str = ""
    keyfile: str = ""
    insecure_http: bool = False
    new_admin_key: bool = False
    drain_s: float = 10.0
    bounds: Bounds = Bounds()
    origins: tuple[str, ...] = ()


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What is told once it serves.

    Attributes:
        has_key: commands of this directory have a key.
        token: of a key that was made just now, empty when none was; it is shown this once.
        connection_file: what commands of this directory find the service by.
    """

    url: str
    token: str
    has_key: bool
    connection_file: Path
    coordinator: Coordinator


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: who serves says what ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: ServeSettings, started: Callable[[Served], None], said: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; then attempts may end for `drain_s`. A second ends at once.

    Args:
        settings: where and what.
        started: called once requests are answered.
        said: told, a line each, what happens at the end.

    Raises:
        UsageError: the address is open to others without TLS, taken, or the certificate is wrong;
            or an origin is none.
        SteelyardError: the coordinator can't start, or ended by itself.
    """
    check_address(settings)
    for origin in settings.origins:
        origin_of(origin)
    tls = _tls(settings)
    listener = _listen(settings)
    ends = _Ends()
    with contextlib.closing(listener), ends.heard():
        directory = Path(settings.fleet.directory)
        coordinator = Coordinator(settings.fleet)
        async with contextlib.AsyncExitStack() as stack:
            audit = AuditLog(directory / "audit.jsonl")
            stack.callback(audit.close)
            if not await _begin(coordinator, ends, said):
                return
            stack.push_async_callback(coordinator.stop)
            database = Database(ledger_url_for(settings.fleet.ledger), SystemClock())
            stack.callback(database.close)
            keys = await asyncio.to_thread(KeyStore, database, SystemClock())
            app = create_app(
                coordinator, keys, audit, bounds=settings.bounds, origins=settings.origins
            )
            server = _Server(_config(app, tls))
            url = _url_of(settings, listener)
            token, has_key = await asyncio.to_thread(_first_key, settings, keys, url)
            await _until_the_end(
                server, listener, coordinator, ends, settings,
                lambda: started(Served(
                    url=url, token=token, has_key=has_key, coordinator=coordinator,
                    connection_file=directory / "client.json",
                )),
                said,
            )  # fmt: skip


async def _begin(coordinator: Coordinator, ends: "_Ends", said: Callable[[str], None]) -> bool:
    """Have the coordinator lead, or stand by; False when a signal came before it did.

    Raises:
        SteelyardError: it can't.
    """
    waiting = asyncio.get_running_loop().call_later(WORD_AFTER_S, said, _WAITING)
    starting = asyncio.create_task(coordinator.start(), name="fleet-start")
    ended = asyncio.create_task(ends.first.wait(), name="fleet-signal")
    try:
        await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        ended.cancel()
        if not starting.done():
            starting.cancel()
        await asyncio.gather(starting, ended, return_exceptions=True)
    if starting.cancelled():
        return False
    starting.result()
    return True


async def _until_the_end(
    server: _Server,
    listener: socket.socket,
    coordinator: Coordinator,
    ends: "_Ends",
    settings: ServeSettings,
    started: Callable[[], None],
    said: Callable[[str], None],
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="fleet-http")
    living = asyncio.create_task(coordinator.wait(), name="fleet-coordinator")
    ended = asyncio.create_task(ends.first.wait(), name="fleet-signal")
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(_LOOK_S / 10)
        started()
        await asyncio.wait({serving, living, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ends.first.is_set():
            await _drain(coordinator, ends, settings.drain_s, said)
        elif living.done():
            living.result()
    finally:
        server.should_exit = True
        server.force_exit = ends.second.is_set()
        for job in (living, ended):
            job.cancel()
        await asyncio.gather(living, ended, return_exceptions=True)
        await serving


async def _drain(
    coordinator: Coordinator, ends: "_Ends", drain_s: float, said: Callable[[str], None]
) -> None:
    """Have workers finish what they have, as long as there is time."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + drain_s
    running = await _running(coordinator)
    if not running:
        return
    said(f"{_attempts(running)} may end within {drain_s:g} s; Ctrl-C again ends what is left.")
    drained: list[str] = []
    try:
        for worker in await coordinator.workers():
            if worker.state is WorkerState.ALIVE and not worker.draining:
                await coordinator.drain(worker.worker_id)
                drained.append(worker.worker_id)
        while running and loop.time() < until_s and not ends.second.is_set():
            await asyncio.sleep(_LOOK_S)
            running = await _running(coordinator)
        for worker_id in drained:  # else they would come back as drained
            await coordinator.drain(worker_id, on=False)
    except SteelyardError as error:
        _log.warning("could not wait for attempts: %s", error)
    if running:
        said(
            f"{_attempts(running)} ended early; what was cut short runs again when the fleet does."
        )


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


async def _running(coordinator: Coordinator) -> int:
    if not coordinator.leads:
        return 0
    return sum(len(worker.holds) for worker in await coordinator.workers())


class _Ends:
    """The first and the second signal that ends the service."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to signals within the block."""
        loop = asyncio.get_running_loop()
        for number in _ENDS:
            loop.add_signal_handler(number, self._hear)
        try:
            yield
        finally:
            for number in _ENDS:
                loop.remove_signal_handler(number)

    def _hear(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def check_address(settings: ServeSettings) -> None:
    """Refuse to be open to other machines in plain text.

    Raises:
        UsageError: it would be, and nobody said that it may; or TLS lacks one of its files.
    """
    if bool(settings.certfile) != bool(settings.keyfile):
        raise UsageError("TLS needs both", expected="--certfile FILE --keyfile FILE")
    if is_loopback(settings.host) or settings.certfile or settings.insecure_http:
        return
    raise UsageError(
        "Other machines would send their keys in plain text",
        got=f"--host {settings.host} without TLS",
        expected="a loopback address, or --certfile and --keyfile",
        next_step="On a network that is private for sure: --insecure-http",
    )


def _tls(settings: ServeSettings) -> ssl.SSLContext | None:
    if not settings.certfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"TLS can't be used: {error.strerror or error}",
            got=f"{settings.certfile}, {settings.keyfile}",
            expected="a certificate and its key, in PEM form",
        ) from error
    return context


def _listen(settings: ServeSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Can't listen on {settings.host}:{settings.port}: {reason.lower()}",
            next_step="Choose another with --port; 0 takes a free one.",
        ) from error


def _config(app: object, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app, whatever its framework
        loop="none", http=PunctualProtocol, ws="websockets-sansio", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS_MAX, timeout_keep_alive=30, timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_HEADERS_MAX_BYTES, ws_max_size=_WEBSOCKET_MAX_BYTES,
    )  # fmt: skip
    config.load()
    config.ssl = tls
    return config


def _url_of(settings: ServeSettings, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    host = settings.host
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  compared, not bound
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.certfile else 'http'}://{host}:{port}"


def _first_key(settings: ServeSettings, keys: KeyStore, url: str) -> tuple[str, bool]:
    """Have a key for the owner of the directory: its token when it is new, and whether one is."""
    directory = Path(settings.fleet.directory)
    kept = read_connection(directory)
    known = keys.recognise(kept.key) if kept is not None else None
    token = ""
    if settings.new_admin_key or not any(
        key.rules(SystemClock.wall_ns()) for key in keys.all_keys()
    ):
        _, token = keys.create(FIRST_KEY, Role.ADMIN)
    key = token or (kept.key if kept is not None and known is not None else "")
    ca_file = str(Path(settings.certfile).absolute()) if settings.certfile else ""
    write_connection(directory, Connection(url=url, key=key, ca_file=ca_file))
    return token, bool(key)
