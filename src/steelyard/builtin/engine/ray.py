"""Attempts on the nodes of a Ray cluster: one worker is one node.

Ray places an actor on each node (see `ray_agent`), carries what is said, and tells which nodes are
dead. Nothing is restarted or run again by Ray: a lease belongs to one attempt.
"""

import asyncio
import contextlib
import hashlib
import importlib
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from steelyard.builtin.engine.ray_agent import (
    AgentSettings,
    NodeAgent,
    Order,
    Piece,
    Ready,
    Refusal,
    Said,
)
from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError
from steelyard.runtime.fleet.attempt_logs import STREAMS, attempt_directory, log_path
from steelyard.runtime.fleet.capabilities import usable_directory
from steelyard.runtime.fleet.ray_cluster import INSTALL, NAMESPACE, WORKER_LABEL, Tls, security

NODES_EVERY_S = 0.5
POLL_S = 1.0
JOIN_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
_CONNECT_WITHIN_S = 5.0
_CALLS_AT_ONCE = 1_000
_FLEET_DIGITS = 12
_AGAIN_S = (0.5, 1.0, 5.0, 30.0)
"""How long after each failure in a row an agent is started anew; the last from then on."""

_log = logging.getLogger("steelyard.fleet.ray")


class RayEngine:
    """The nodes of a cluster that are workers, and what they run.

    The coordinator must run on a machine that has a node of the cluster, such as the head. Logs of
    attempts come here as they are written, and are kept where the local engine keeps its own.

    Args:
        address: of the head, such as `10.0.0.1:6379`; that in `RAY_ADDRESS` when empty.
        directory: of the fleet, on this machine; nodes have their own.
        token_path: file with the cluster's token; empty for where Ray looks for it.
        tls_certificate, tls_key, tls_authority: PEM files, all or none.
        every_node: nodes without the label of a worker are workers too, named by Ray's id.
        heartbeat_s: how often workers speak.
        grace_s: between SIGTERM and SIGKILL.
        log_mb: how much of an attempt's stdout and of its stderr is kept.
        memory_gb, cpu_s, files: limits of each process of an attempt, 0 for none.
        task_kinds: options of kinds of tasks, by name; the others are made without.
    """

    def __init__(  # noqa: PLR0913  the options of a plugin are keywords
        self,
        *,
        address: str = "",
        directory: str = ".steelyard/fleet",
        token_path: str = "",
        tls_certificate: str = "",
        tls_key: str = "",
        tls_authority: str = "",
        every_node: bool = False,
        heartbeat_s: float = 2.0,
        grace_s: float = 0.5,
        log_mb: float = 16.0,
        memory_gb: float = 0.0,
        cpu_s: int = 0,
        files: int = 0,
        task_kinds: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.directory = usable_directory(directory)
        self._address = address
        self._token_path = token_path
        self._tls: Tls | None = None
        if tls_certificate or tls_key or tls_authority:
            self._tls = Tls(certificate=tls_certificate, key=tls_key, authority=tls_authority)
        self._every_node = every_node
        home = f"{socket.gethostname()}:{self.directory}"
        self._settings = AgentSettings(
            worker_id="", fleet=hashlib.sha256(home.encode()).hexdigest()[:_FLEET_DIGITS],
            heartbeat_s=heartbeat_s, grace_s=grace_s, log_mb=log_mb,
            memory_gb=memory_gb, cpu_s=cpu_s, files=files, task_kinds=task_kinds or {},
        )  # fmt: skip
        self._nodes: dict[str, _Node] = {}
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._watching: asyncio.Task[None] | None = None
        self._doubles: set[str] = set()
        self._is_ours = False

    async def start(self) -> list[tuple[str, Capabilities, int]]:
        """Connect; return no workers: each comes as an event when its node is ready.

        Raises:
            UsageError: there is no token, or authentication is switched off.
            EndpointUnreachableError: the cluster does not answer, or not to this token.
            SteelyardError: Ray is not installed.
        """
        _secure(security(self._token_path, self._tls))
        address = self._address or os.environ.get("RAY_ADDRESS", "")
        self._is_ours = await asyncio.to_thread(_connect, address)
        await self._look()
        self._watching = asyncio.create_task(self._watch(), name="fleet-ray-nodes")
        return []

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Give an attempt to the worker's node.

        Raises:
            SteelyardError: there is no such node now.
        """
        self._node(lease.worker_id).begin(lease, spec)

    async def cancel(self, lease: Lease) -> None:
        """Have an attempt end; one that is unknown or has ended is none."""
        with contextlib.suppress(SteelyardError):  # what a dead node ran has ended
            self._node(lease.worker_id).cancel(lease)

    async def next_event(self) -> EngineEvent:
        """Wait for what a node says, for one that joins, or for its death."""
        return await self._events.get()

    async def stop(self) -> None:
        """End all attempts, and leave the cluster as it was."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        nodes, self._nodes = list(self._nodes.values()), {}
        await asyncio.gather(*(node.stop() for node in nodes))
        if self._is_ours:
            import ray

            self._is_ours = False
            await asyncio.to_thread(ray.shutdown)

    def _node(self, worker_id: str) -> "_Node":
        for node in self._nodes.values():
            if node.worker_id == worker_id:
                return node
        raise SteelyardError(f"Worker {worker_id} has no node in the Ray cluster")

    # Nodes come and go

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(NODES_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        """Compare the cluster's nodes with those that we know."""
        import ray

        nodes = await asyncio.to_thread(ray.nodes)
        alive = {node["NodeID"]: node for node in nodes if node["Alive"]}
        for node_id in self._nodes.keys() - alive.keys():
            await self._nodes.pop(node_id).died("its Ray node is dead")
        for node_id in alive.keys() - self._nodes.keys():
            self._meet(node_id, alive[node_id]["Labels"])

    def _meet(self, node_id: str, labels: dict[str, str]) -> None:
        worker_id = labels.get(WORKER_LABEL, "")
        if not worker_id and self._every_node:
            worker_id = f"ray-{node_id[:12]}"
        if not worker_id:
            return
        if any(node.worker_id == worker_id for node in self._nodes.values()):
            # The older may be dead, and Ray does not know yet: then this one's turn comes.
            if node_id not in self._doubles:
                self._doubles.add(node_id)
                _log.warning("A second Ray node is called %s; it waits for the first", worker_id)
            return
        settings = msgspec.structs.replace(self._settings, worker_id=worker_id)
        self._nodes[node_id] = _Node(node_id, settings, Path(self.directory), self._events)


class _Node:
    """A node of the cluster, and the agent on it."""

    def __init__(
        self,
        node_id: str,
        settings: AgentSettings,
        directory: Path,
        events: "asyncio.Queue[EngineEvent]",
    ) -> None:
        self.worker_id = settings.worker_id
        self._node_id = node_id
        self._settings = settings
        self._directory = directory
        self._events = events
        self._agent: Any = None
        self._is_up = False
        self._leases: dict[int, Lease] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._keeping = asyncio.create_task(self._keep(), name=f"fleet-ray-{self.worker_id}")

    def begin(self, lease: Lease, spec: TaskSpec) -> None:
        """Have an attempt carried out; what comes of that are events.

        Raises:
            SteelyardError: the node's agent is not there.
        """
        if not self._is_up:
            raise SteelyardError(f"Worker {self.worker_id} is not ready")
        self._leases[lease.token] = lease
        reference = self._agent.submit.remote(msgspec.msgpack.encode(Order(lease, spec)))
        self._later(self._confirm(lease, reference))

    def cancel(self, lease: Lease) -> None:
        """Have an attempt ended."""
        if self._is_up:
            self._later(_quietly(self._agent.cancel.remote(msgspec.msgpack.encode(lease))))

    async def died(self, reason: str) -> None:
        """Give the node up."""
        await self._quit()
        self._fell(reason)

    async def stop(self) -> None:
        """End what it runs, and its agent."""
        import ray

        await self._quit()
        self._is_up = False
        agent, self._agent = self._agent, None
        if agent is None:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await _quietly(agent.stop.remote())
        except TimeoutError:
            _log.warning("The agent of %s did not end in time and is killed", self.worker_id)
        ray.kill(agent)

    async def _quit(self) -> None:
        tasks = [self._keeping, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _later(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _confirm(self, lease: Lease, reference: Any) -> None:
        from ray.exceptions import RayError

        try:
            reason = msgspec.msgpack.decode(await reference, type=Refusal).reason
        except RayError as error:
            # Should it run after all: its token is old by then, and it is ended when it is heard of
            reason = f"worker {self.worker_id} can't be reached: {_first_line(error)}"
        if reason and self._leases.pop(lease.token, None) is not None:
            outcome = Outcome(ending=Ending.REFUSED, error=reason)
            self._tell(EngineEvent(kind="ended", lease=lease, outcome=outcome))

    # The agent

    async def _keep(self) -> None:
        """Start an agent, pass on what it says, and start another one when it died."""
        from ray.exceptions import RayError

        failures = 0
        while True:
            try:
                ready = await self._start()
            except (RayError, SteelyardError) as error:
                text = _first_line(error)
                _log.warning("Ray node %s is no worker: %s", self.worker_id, text)
            else:
                failures = 0
                self._is_up = True
                self._tell(
                    EngineEvent(
                        kind="worker_joined", worker_id=self.worker_id,
                        capabilities=ready.capabilities, slots=ready.slots,
                    )
                )  # fmt: skip
            if self._is_up:
                self._fell(await self._listen())
            await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            failures += 1

    async def _start(self) -> Ready:
        """Place an agent on the node, and nowhere else."""
        import ray

        place = {"ray.io/node-id": self._node_id}
        self._agent = (
            ray.remote(NodeAgent)
            .options(
                num_cpus=0, max_restarts=0, max_task_retries=0, label_selector=place,
                max_concurrency=_CALLS_AT_ONCE,
            )
            .remote(msgspec.msgpack.encode(self._settings))
        )  # fmt: skip
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                said = msgspec.msgpack.decode(
                    await self._agent.start.remote(), type=Ready | Refusal
                )
        except TimeoutError:
            said = Refusal(f"its agent did not start within {JOIN_WITHIN_S:g} s")
        if isinstance(said, Refusal):
            ray.kill(self._agent)
            raise SteelyardError(said.reason)
        return said

    async def _listen(self) -> str:
        """Pass on what the agent says until it is dead; return why."""
        from ray.exceptions import ActorUnavailableError, RayError

        seen = 0
        while True:
            try:
                data = await self._agent.poll.remote(seen, POLL_S)
            except ActorUnavailableError:
                await asyncio.sleep(NODES_EVERY_S)  # it may come back; Ray tells when it does not
                continue
            except RayError as error:
                return f"its agent died: {_first_line(error)}"
            for said in msgspec.msgpack.decode(data, type=list[Said]):
                if said.seq <= seen:
                    continue
                seen = said.seq
                if said.piece is not None:
                    await asyncio.to_thread(self._write, said.piece)
                if said.event is not None:
                    self._pass_on(said.event)

    def _pass_on(self, event: EngineEvent) -> None:
        """Tell what a node says of itself and of what it was given, and nothing else."""
        if event.lease is None:
            self._tell(msgspec.structs.replace(event, worker_id=self.worker_id))
        elif self._leases.get(event.lease.token) == event.lease:
            if event.kind == "ended":
                del self._leases[event.lease.token]
            self._tell(event)

    def _tell(self, event: EngineEvent) -> None:
        self._events.put_nowait(event)

    def _fell(self, reason: str) -> None:
        if self._is_up:
            self._is_up = False
            self._leases.clear()
            self._tell(
                EngineEvent(kind="worker_died", worker_id=self.worker_id, reason=reason)
            )  # fmt: skip

    def _write(self, piece: Piece) -> None:
        """Keep a piece of a log where those of this machine's attempts are."""
        lease = piece.lease
        if self._leases.get(lease.token) != lease or piece.stream not in STREAMS:
            return
        place = attempt_directory(self._directory, lease.task_id, lease.attempt, lease.token)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            fd = os.open(log_path(place, piece.stream), flags, 0o600)
            try:
                os.pwrite(fd, piece.data, piece.offset)
            finally:
                os.close(fd)
        except OSError as error:
            # The node has all of it, and the attempt's outcome does not hang on it.
            _log.warning("A log of %s can't be kept here: %s", lease.task_id, error.strerror)


def _secure(variables: dict[str, str]) -> None:
    """Have this process's Ray authenticate; it reads its environment once, when it is loaded."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    if "ray" not in sys.modules or before == variables:
        return
    try:
        # What `ray.init` does when it switches authentication on; there is no public way.
        core = importlib.import_module("ray._raylet")
        core.Config.initialize("")
        core.AuthenticationTokenLoader.instance().reset_cache()
    except (ImportError, AttributeError):
        raise SteelyardError(
            "Ray was loaded before the fleet could have it authenticate",
            next_step="Set these before: "
            + ", ".join(f"{name}={value}" for name, value in variables.items()),
        ) from None


def _connect(address: str) -> bool:
    """Be a driver of the cluster; return False when this process was one already."""
    try:
        import ray
    except ImportError:
        raise SteelyardError("Ray is not installed", next_step=INSTALL) from None
    if ray.is_initialized():
        return False
    _knock(address)
    try:
        ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False,
            logging_level=logging.WARNING,
        )  # fmt: skip
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        raise EndpointUnreachableError(
            "The Ray cluster does not take this coordinator in",
            got=f"{address}: {_first_line(error)}",
            next_step="Check that the token is the head's, and that this machine has a node.",
        ) from None
    return True


def _knock(address: str) -> None:
    """Find out soon whether anybody listens; Ray itself tries for a minute and more."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise EndpointUnreachableError(
            "The Ray engine needs the address of a cluster",
            got=address or "none",
            expected="host:port of its head, such as 10.0.0.1:6379",
            next_step="Start a head with: steelyard fleet join",
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_WITHIN_S).close()
    except OSError as error:
        raise EndpointUnreachableError(
            "Nobody listens where the Ray cluster's head should be",
            got=f"{address}: {(error.strerror or str(error)).lower()}",
            next_step="Start a head with: steelyard fleet join",
        ) from None


async def _quietly(reference: Any) -> None:
    """Wait for a call; what a dead agent does not hear has ended with it."""
    from ray.exceptions import RayError

    with contextlib.suppress(RayError):
        await reference


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
