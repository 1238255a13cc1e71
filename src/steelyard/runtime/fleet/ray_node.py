"""A node of a Ray cluster, started on this machine and ended with the process that started it."""

import contextlib
import importlib.util
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError, UsageError
from steelyard.runtime.files import write_atomic
from steelyard.runtime.fleet.local_processes import signal_group
from steelyard.runtime.fleet.ray_cluster import (
    DEATH_WITHIN_S,
    INSTALL,
    NODE_VARIABLE,
    WORKER_LABEL,
    NodeSettings,
    Tls,
    failure_detection,
    security,
    token_file,
)

PORT = 6379
START_WITHIN_S = 120.0
STOP_WITHIN_S = 15.0
_UP = b"Ray runtime started"
_POLL_S = 0.1
_TAIL_BYTES = 2_000
_WORKER_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A node to start.

    Attributes:
        worker_id: the worker's name.
        head: address of the head to join; a new head is started when empty.
        host: this node's address, which other nodes reach it by; empty for Ray's own guess.
        port: of a new head.
        settings: how the worker works.
        token_path: the cluster's token; a new head makes one that is not there.
        tls: certificates.
        death_within_s: of a new head: when it takes a silent node for dead.
        cpu_cores, gpus: what Ray is told of the node; the fleet counts for itself.
        object_store_mb: memory for Ray's objects; the fleet sends none through it.
    """

    worker_id: str
    head: str = ""
    host: str = ""
    port: int = PORT
    settings: NodeSettings = NodeSettings()
    token_path: str = ""
    tls: Tls | None = None
    death_within_s: float = DEATH_WITHIN_S
    cpu_cores: int = 1
    gpus: int = 0
    object_store_mb: int = 100


class RayNode:
    """A node and its processes.

    Args:
        plan: what to start.
        directory: where its log `ray-node.log` and Ray's own files are.
    """

    def __init__(self, plan: NodePlan, directory: Path) -> None:
        self.plan = plan
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What Ray said."""
        return self._directory / "ray-node.log"

    @property
    def address(self) -> str:
        """The address of the cluster, for those who join it; of a new head, once it is up."""
        if self.plan.head:
            return self.plan.head
        if self.plan.host:
            return f"{self.plan.host}:{self.plan.port}"
        found = re.search(rb"--address='([^']+)'", self._said())
        return found[1].decode() if found else f"127.0.0.1:{self.plan.port}"

    def start(self) -> None:
        """Start Ray's processes; return when the node is up.

        Raises:
            UsageError: Ray is not installed, the name can't be a label, or there is no token.
            EndpointUnreachableError: the head does not answer.
            SteelyardError: the node did not come up.
        """
        environment = self._environment()
        argv = self._argv()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_up(self._process)
        except BaseException:  # a signal as well: nobody else knows of the node yet
            self.stop()
            raise

    def _wait_until_up(self, process: "subprocess.Popen[bytes]") -> None:
        deadline_s = time.monotonic() + START_WITHIN_S
        while _UP not in self._said():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise self._problem()
            time.sleep(_POLL_S)

    def wait(self) -> int:
        """Wait until the node has ended; return the exit code of Ray's process."""
        return self._process.wait() if self._process is not None else 0

    def stop(self) -> None:
        """End the node and all that runs on it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        if process.stdin is not None:
            process.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN_S)
        finally:  # also when a second signal cuts the wait short
            # Ray ends its own; what it may have left has our session.
            signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def _environment(self) -> dict[str, str]:
        plan = self.plan
        path = token_file(plan.token_path)
        if not plan.head and not path.is_file() and "RAY_AUTH_TOKEN" not in os.environ:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, secrets.token_hex(32).encode())
            path.chmod(0o600)
        more = {} if plan.head else failure_detection(plan.death_within_s)
        settings = msgspec.json.encode(plan.settings).decode()
        return (
            os.environ
            | security(plan.token_path, plan.tls)
            | more
            | {NODE_VARIABLE: settings, "RAY_USAGE_STATS_ENABLED": "0"}
        )

    def _argv(self) -> list[str]:
        plan = self.plan
        if importlib.util.find_spec("ray") is None:
            raise UsageError("Ray is not installed", next_step=INSTALL)
        if not _WORKER_ID.fullmatch(plan.worker_id):
            raise UsageError(
                "A worker's name must fit into a label of Ray",
                got=plan.worker_id,
                expected="up to 63 letters, digits, dots, dashes and underscores",
            )
        argv = [
            sys.executable, "-m", "steelyard.runtime.fleet.ray_start", "start", "--block",
            "--log-style=record", "--disable-usage-stats", "--include-log-monitor=false",
            f"--num-cpus={plan.cpu_cores}", f"--num-gpus={plan.gpus}",
            f"--object-store-memory={plan.object_store_mb * 1_000_000}",
            f"--labels={WORKER_LABEL}={plan.worker_id}",
        ]  # fmt: skip
        if plan.host:
            argv.append(f"--node-ip-address={plan.host}")
        if plan.head:
            return [*argv, f"--address={plan.head}"]
        return [*argv, "--head", f"--port={plan.port}", "--include-dashboard=false"]

    def _said(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def _problem(self) -> SteelyardError:
        lines = self._said()[-_TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()
        text = lines[-1].strip() if lines else "Ray said nothing"
        kind = EndpointUnreachableError if self.plan.head else SteelyardError
        return kind(
            "The Ray node did not come up",
            got=text,
            next_step=f"See {self.log}. Check the head's address, and that the token is the head's."
            if self.plan.head
            else f"See {self.log}.",
        )
