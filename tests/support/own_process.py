"""Runs a backend in a process of its own, as a mirror does, and sees where it calls."""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from steelyard.domain.track.events import Logged, RunEnded
from steelyard.domain.track.ports import Backend, Delivery, RunFacts
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder

_CONTEXT = multiprocessing.get_context("forkserver")
_AT_HOME = frozenset({"127.0.0.1", "::1", "localhost", "", "0.0.0.0", "None", socket.gethostname()})
ANSWER_S = 60.0


class OwnProcess:
    """A backend with the four methods of the port, each done by a child process.

    Args:
        make: picklable; returns the backend there.
        arguments: for `make`.

    Raises:
        AssertionError: from `close`, when the backend looked up or called a host outside.
    """

    def __init__(self, make: Callable[..., Backend], *arguments: Any) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_serve, args=(theirs, make, arguments), name="backend", daemon=True
        )
        self._process.start()
        theirs.close()

    def open(self, run: RunFacts) -> str:
        return str(self._call("open", run))

    def log(self, items: Sequence[Logged]) -> Delivery:
        delivery: Delivery = self._call("log", list(items))
        return delivery

    def flush(self) -> None:
        self._call("flush")

    def close(self, end: RunEnded | None) -> None:
        try:
            self._call("close", end)
            outside = self._call("outside")
            assert not outside, f"it called {outside}"
        finally:
            self._pipe.close()
            self._process.join(ANSWER_S)

    def kill(self) -> None:
        """End the process as `kill -9` does."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._pipe.close()
        self._process.join(ANSWER_S)

    def _call(self, name: str, *arguments: Any) -> Any:
        self._pipe.send((name, arguments))
        if not self._pipe.poll(ANSWER_S):
            raise TimeoutError(f"the backend did not come back from {name}")
        value, error = self._pipe.recv()
        if error is not None:
            raise RuntimeError(error)
        return value


def _serve(pipe: Connection, make: Callable[..., Backend], arguments: tuple[Any, ...]) -> None:
    outside = _watch_calls()
    backend = make(*arguments)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            name, values = pipe.recv()
            if name == "outside":
                pipe.send((outside, None))
                continue
            try:
                with PluginBorder().crossing("backend", name):
                    answer = getattr(backend, name)(*values)
            except SteelyardError as error:
                pipe.send((None, f"{type(error).__name__}: {error}"))
            else:
                pipe.send((answer, None))


def _watch_calls() -> list[str]:
    """Return a list that grows with each host outside that this process asks for."""
    outside: list[str] = []

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            host = arguments[0]
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        else:
            return
        text = host.decode() if isinstance(host, bytes) else str(host)
        if text not in _AT_HOME:
            outside.append(f"{event} {text}")

    sys.addaudithook(see)
    return outside
