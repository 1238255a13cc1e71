"""Attempts on the nodes of a Ray cluster: one worker is one node.

Ray places an actor on each node, carries what is said, and tells which nodes are dead. Nothing is
restarted or run again by Ray: a lease belongs to one attempt.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError
from steelyard.runtime.fleet.capabilities import usable_directory
from steelyard.runtime.fleet.output_files import NodeFiles
from steelyard.runtime.fleet.ray_agent import AgentSettings
from steelyard.runtime.fleet.ray_cluster import WORKER_LABEL, Tls, security
from steelyard.runtime.fleet.ray_connection import connect, secure
from steelyard.runtime.fleet.ray_worker import RayWorker

NODES_EVERY_S = 0.5
HEAD_WITHIN_S = 10.0
"""Ray itself ends a process whose head is silent for a minute: we let go before."""

GROUP_LABEL = "ray.io/node-group"
"""By which Ray labels nodes whose environment has `RAY_NODE_TYPE_NAME`, as KubeRay sets it."""

_FLEET_DIGITS = 12

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
        group: as `every_node`, for nodes of this group (Ray's label `ray.io/node-group`) only.
        heartbeat_s: how often workers speak.
        grace_s: between SIGTERM and SIGKILL.
        log_mb: how much of an attempt's stdout and of its stderr is kept.
        memory_gb, cpu_s, files: limits of each process of an attempt, 0 for none.
        task_kinds: options of kinds of tasks, by name; the others are made without.
        keep: leave the files of attempts on the nodes; their logs are here in any case.
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
        group: str = "",
        heartbeat_s: float = 2.0,
        grace_s: float = 0.5,
        log_mb: float = 16.0,
        memory_gb: float = 0.0,
        cpu_s: int = 0,
        files: int = 0,
        task_kinds: dict[str, dict[str, Any]] | None = None,
        keep: bool = True,
    ) -> None:
        self.directory = usable_directory(directory)
        self._address = address
        self._token_path = token_path
        self._tls: Tls | None = None
        if tls_certificate or tls_key or tls_authority:
            self._tls = Tls(certificate=tls_certificate, key=tls_key, authority=tls_authority)
        self._every_node = every_node
        self._group = group
        home = f"{socket.gethostname()}:{self.directory}"
        self._settings = AgentSettings(
            worker_id="", fleet=hashlib.sha256(home.encode()).hexdigest()[:_FLEET_DIGITS],
            heartbeat_s=heartbeat_s, grace_s=grace_s, log_mb=log_mb,
            memory_gb=memory_gb, cpu_s=cpu_s, files=files, task_kinds=task_kinds or {}, keep=keep,
        )  # fmt: skip
        self._nodes: dict[str, RayWorker] = {}
        self._events: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._watching: asyncio.Task[None] | None = None
        self._doubles: set[str] = set()
        self._met: set[str] = set()
        self._is_ours = False

    async def start(self) -> list[tuple[str, Capabilities, int]]:
        """Connect; return no workers: each comes as an event when its node is ready.

        Raises:
            UsageError: there is no token, or authentication is switched off.
            EndpointUnreachableError: the cluster does not answer, or not to this token.
            SteelyardError: Ray is not installed.
        """
        secure(security(self._token_path, self._tls))
        address = self._address or os.environ.get("RAY_ADDRESS", "")
        self._is_ours = await asyncio.to_thread(connect, address)
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
        """Wait for what a node says, for one that joins, or for its death.

        Raises:
            EndpointUnreachableError: the head is gone, and the cluster with it.
        """
        event = await self._events.get()
        if event is None:
            raise EndpointUnreachableError(
                "The head of the Ray cluster does not answer",
                next_step="Start it again; its nodes must join it again.",
            )
        return event

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

    def outputs(self) -> dict[str, NodeFiles | None]:
        """Return what attempts wrote on each node there was; None for one that is not there now."""
        met: dict[str, NodeFiles | None] = dict.fromkeys(sorted(self._met))
        return met | {node.worker_id: node.outputs() for node in self._nodes.values()}

    def _node(self, worker_id: str) -> RayWorker:
        for node in self._nodes.values():
            if node.worker_id == worker_id:
                return node
        raise SteelyardError(f"Worker {worker_id} has no node in the Ray cluster")

    # Nodes come and go

    async def _watch(self) -> None:
        from ray.exceptions import RayError

        while True:
            await asyncio.sleep(NODES_EVERY_S)
            try:
                await self._look()
            except (TimeoutError, RayError) as error:
                _log.warning("The Ray cluster's head is gone: %s", str(error) or "it is silent")
                self._events.put_nowait(None)
                return

    async def _look(self) -> None:
        """Compare the cluster's nodes with those that we know.

        Raises:
            TimeoutError, RayError: the head does not answer.
        """
        import ray

        async with asyncio.timeout(HEAD_WITHIN_S):
            nodes = await asyncio.to_thread(ray.nodes)
        alive = {node["NodeID"]: node for node in nodes if node["Alive"]}
        for node_id in self._nodes.keys() - alive.keys():
            await self._nodes.pop(node_id).died("its Ray node is dead")
        for node_id in alive.keys() - self._nodes.keys():
            self._meet(node_id, alive[node_id]["Labels"])

    def name_of(self, node_id: str, labels: dict[str, str]) -> str:
        """Return what a node is called as a worker, by its labels; empty for one that is none."""
        named = labels.get(WORKER_LABEL, "")
        is_meant = self._every_node or (self._group and self._group == labels.get(GROUP_LABEL))
        return named or (f"ray-{node_id[:12]}" if is_meant else "")

    def _meet(self, node_id: str, labels: dict[str, str]) -> None:
        worker_id = self.name_of(node_id, labels)
        if not worker_id:
            return
        if any(node.worker_id == worker_id for node in self._nodes.values()):
            # The older may be dead, and Ray does not know yet: then this one's turn comes.
            if node_id not in self._doubles:
                self._doubles.add(node_id)
                _log.warning("A second Ray node is called %s; it waits for the first", worker_id)
            return
        self._met.add(worker_id)
        settings = msgspec.structs.replace(self._settings, worker_id=worker_id)
        self._nodes[node_id] = RayWorker(node_id, settings, Path(self.directory), self._events)
