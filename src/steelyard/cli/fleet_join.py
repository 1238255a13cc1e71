"""`steelyard fleet join`: this machine as a worker of the fleet's Ray cluster."""

import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from steelyard.cli.fleet_reach import flag, pairs, say
from steelyard.kernel.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from steelyard.app.fleet.cluster_joining import Joined

Several = tuple[str, ...]


@Parameter(name="*")
@dataclass(frozen=True)
class Security:
    """What Ray's processes show each other."""

    token_path: Annotated[
        str, flag("--token-file", "File with the cluster's token; ~/.ray/auth_token without it. "
                   "A new head makes one.")
    ] = ""  # fmt: skip
    certificate: Annotated[str, flag("--tls-cert", "Certificate of Ray's connections, PEM.")] = ""
    tls_key: Annotated[str, flag("--tls-key", "Its private key.")] = ""
    authority: Annotated[str, flag("--tls-ca", "Certificate of who signed all of them.")] = ""


def join(  # noqa: PLR0913  each is a flag or a group of them
    head: Annotated[str, Parameter(name="HEAD", show_default=False)] = "",
    /,
    *,
    name: Annotated[str, Parameter(show_default=False)] = "",
    host: Annotated[str, Parameter(show_default=False)] = "",
    port: int = 6379,
    directory: Annotated[str, Parameter(name="--dir")] = "~/.steelyard/fleet-node",
    slots: int = 0,
    label: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    pass_env: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    plugin_dir: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    security: Security | None = None,
) -> int:
    """Have this machine work for the fleet until Ctrl-C: detect what it has, join HEAD's cluster.

    Without HEAD it becomes the head of a new cluster, whose address it prints for the others.

    The coordinator, on a machine with a node, is told of the cluster: serve --engine ray
    --engine-option ray.address=HEAD.

    Args:
        head: Address host:port of the cluster's head.
        name: Name of this worker; this host's without it.
        host: Address by which the other nodes reach this one.
        port: Of a new head.
        directory: Files of this node; attempts work below it.
        slots: Attempts at once; 0 for one a core.
        label: KEY=VALUE of this worker. May be repeated.
        pass_env: Name of a variable that attempts see. May be repeated.
        plugin_dir: Where further kinds of tasks are. May be repeated.
        security: What Ray's processes show each other.
    """
    from steelyard.app.fleet.cluster_joining import join as join_cluster
    from steelyard.app.signals import term_as_interrupt
    from steelyard.runtime.fleet.ray_cluster import Tls

    given = security or Security()
    files = (given.certificate, given.tls_key, given.authority)
    if any(files) and not all(files):
        raise UsageError("TLS takes all three", expected="--tls-cert, --tls-key and --tls-ca")
    tls = Tls(certificate=files[0], key=files[1], authority=files[2]) if all(files) else None
    with term_as_interrupt():  # a node that is not up yet ends as well, and is waited for
        joined = join_cluster(
            head, worker_id=name, host=host, port=port, directory=directory, slots=slots,
            labels=pairs(label, "--label"), environment=pass_env, plugin_dirs=plugin_dir,
            token_path=given.token_path, tls=tls,
        )  # fmt: skip
        try:
            _greet(joined, is_head=not head)
            return _until_the_end(joined.wait)
        finally:
            joined.leave()


def _greet(joined: "Joined", *, is_head: bool) -> None:
    has = joined.capabilities
    print(f"{joined.worker_id} is a worker of the cluster at {joined.address}", flush=True)
    gpus = f", {len(has.gpus)} GPUs" if has.gpus else ""
    say(f"It has {has.cpu_cores:g} cores, {has.memory_gb:.1f} GB memory{gpus}.")
    if is_head:
        say(f"Others join it with: steelyard fleet join {joined.address}")


def _until_the_end(wait: Any) -> int:
    """Wait for Ctrl-C, SIGTERM, or the end of the node."""
    ended, codes = threading.Event(), [EXIT_OK]

    def watch() -> None:
        codes[0] = wait()
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=watch, name="fleet-node", daemon=True).start()
    ended.wait()
    if codes[0]:
        say("The node ended by itself; its log is in its directory.")
    return codes[0]
