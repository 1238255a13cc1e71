"""This machine as a node of the fleet's Ray cluster: `steelyard fleet join`."""

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from steelyard.domain.fleet.requirements import Capabilities
from steelyard.runtime.fleet.capabilities import detect, usable_directory
from steelyard.runtime.fleet.ray_cluster import DEATH_WITHIN_S, NodeSettings, Tls
from steelyard.runtime.fleet.ray_node import PORT, NodePlan, RayNode


class Joined:
    """This machine's node.

    Attributes:
        worker_id: its name in the fleet.
        address: of the cluster: what others join, and what the engine is told.
        capabilities: what was detected here. The worker itself looks again when it starts.
    """

    def __init__(self, node: RayNode, capabilities: Capabilities) -> None:
        self.worker_id = node.plan.worker_id
        self.address = node.address
        self.capabilities = capabilities
        self._node = node

    def wait(self) -> int:
        """Wait until the node ends by itself; return an exit code, 0 never."""
        return self._node.wait() or 1

    def leave(self) -> None:
        """End the node; the fleet gives what ran on it to others."""
        self._node.stop()


def join(  # noqa: PLR0913  the options of a command are keywords
    head: str = "",
    *,
    worker_id: str = "",
    host: str = "",
    port: int = PORT,
    directory: str = "~/.steelyard/fleet-node",
    slots: int = 0,
    labels: Mapping[str, str] | None = None,
    environment: Sequence[str] = (),
    plugin_dirs: Sequence[str] = (),
    programs: bool = True,
    token_path: str = "",
    tls: Tls | None = None,
    death_within_s: float = DEATH_WITHIN_S,
) -> Joined:
    """Detect what this machine has, and start a node that is a worker; it lasts until `leave`.

    Args:
        head: address `host:port` of the cluster to join; a new head is started when empty.
        worker_id: name in the fleet; this host's when empty.
        host: address that the other nodes reach this one by; Ray's own guess when empty.
        port: of a new head.
        directory: of this node's files, one a node; attempts work below it.
        slots: attempts at once, 0 for one a core.
        labels: of the worker, beside those that are detected; they win.
        environment: names of variables that attempts get beside the usual harmless ones.
        plugin_dirs: where further kinds of tasks are.
        programs: look for runtimes and browsers.
        token_path: file with the cluster's token; a new head makes one. Empty for `~/.ray`.
        tls: certificates for Ray's connections.
        death_within_s: after which silence a new head takes a node for dead.

    Raises:
        UsageError: Ray is not installed, a name can't be used, or there is no token.
        EndpointUnreachableError: the head does not answer, or takes this node not in.
        SteelyardError: the node did not come up.
    """
    place = usable_directory(directory)
    found = detect(place, labels=labels, programs=programs).capabilities
    settings = NodeSettings(
        directory=place, slots=slots, labels=dict(labels or {}), environment=tuple(environment),
        detect=programs, plugin_dirs=tuple(plugin_dirs),
    )  # fmt: skip
    plan = NodePlan(
        worker_id=worker_id or default_name(), head=head, host=host, port=port,
        settings=settings, token_path=token_path, tls=tls, death_within_s=death_within_s,
        cpu_cores=max(int(found.cpu_cores), 1), gpus=len(found.gpus),
    )  # fmt: skip
    node = RayNode(plan, Path(place))
    node.start()
    return Joined(node, found)


def default_name() -> str:
    """Return this host's name as a worker's."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", platform.node())[:63].strip("-_.")
    return name or "worker"
