"""A Ray cluster on this machine: nodes at 127.0.0.2 and up, each with processes of its own."""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from steelyard.app.fleet.cluster_joining import join

HEAD = "127.0.0.2"


def free_port():
    """Return a port that nobody has, of those that the kernel gives to nobody by itself."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


class RayCluster:
    """A head and the nodes that joined it, for a block.

    Args:
        options: of `join`, for every node.
    """

    def __init__(self, **options):
        self.port = free_port()
        self.options = {"programs": False, "slots": 2} | options
        self.nodes = {}

    def __enter__(self):
        # Short: the paths of Ray's sockets are below.
        self.directory = Path(tempfile.mkdtemp(prefix="sy-ray-"))
        self.token = self.directory / "token"
        self.environ = dict(os.environ)
        os.environ["RAY_TMPDIR"] = str(self.directory)
        try:
            self.address = self._join(HEAD, "", {}).address
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda node: node.leave(), self.nodes.values()))
        os.environ.clear()
        os.environ.update(self.environ)
        shutil.rmtree(self.directory, ignore_errors=True)

    def add(self, *hosts, **labels):
        """Have nodes at these addresses join, one after the other: a start takes all processors."""
        for host in hosts:
            self._join(host, self.address, labels)

    def _join(self, host, head, labels):
        name = self.name(host)
        node = join(
            head, worker_id=name, host=host, port=self.port, labels=labels,
            directory=str(self.directory / name), token_path=str(self.token), **self.options,
        )  # fmt: skip
        self.nodes[name] = node
        return node

    @staticmethod
    def name(host):
        """Return the worker at an address."""
        return f"n{host.rpartition('.')[2]}"

    def engine_options(self, **more):
        """Return the options of an engine for this cluster."""
        return {"address": self.address, "token_path": str(self.token), "heartbeat_s": 0.5} | more

    def raylet(self, name):
        """Return the process id of a node's raylet: Ray's own on that node."""
        host = f"127.0.0.{name.removeprefix('n')}"
        for process in psutil.Process().children(recursive=True):
            if process.name() == "raylet" and f"--node_ip_address={host}" in process.cmdline():
                return process.pid
        raise AssertionError(f"{name} has no raylet")
