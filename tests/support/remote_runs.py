"""Runs whose workers are `steelyard worker` processes that join over loopback tcp."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from acceptance_runs import STEELYARD, Run

from steelyard.runtime.join import INDEX_VARIABLE, JOIN_VARIABLE, Join

JOIN_WAIT_S = 90


def until(found: Callable[[], object], what: str, timeout_s: float = JOIN_WAIT_S) -> None:
    """Wait until `found` returns something true."""
    deadline = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.02)


class WorkerProcess:
    """A `steelyard worker` and what it says.

    Args:
        join: its join, given in the environment; None leaves that to `flags`.
        flags: of the command.
        before: words before the command, such as `unshare`.
        environ: variables that it has besides.
    """

    def __init__(
        self,
        join: Join | None,
        *flags: str,
        before: Sequence[str] = (),
        environ: dict[str, str] | None = None,
    ) -> None:
        variables = {**os.environ, **(environ or {})}
        variables.pop(INDEX_VARIABLE, None)
        if join is not None:
            variables[JOIN_VARIABLE] = join.encode()
        self.process = subprocess.Popen(
            [*before, *STEELYARD, "worker", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables,
        )

    def end(self, timeout_s: float = 60) -> tuple[int, str]:
        """Return exit code and output, once it has ended by itself."""
        out, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out

    def role_pid(self) -> int:
        """Return the pid of the process that sends: the one that the keeper forked."""
        found: list[int] = []

        def look() -> bool:
            children = psutil.Process(self.process.pid).children(recursive=True)
            titles = {child.pid: " ".join(child.cmdline()) for child in children}
            found.extend(pid for pid, words in titles.items() if "steelyard worker_" in words)
            return bool(found)

        until(look, "role of the worker")
        return found[0]

    def kill(self) -> None:
        """End it with all that it started."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.communicate(timeout=60)


@contextmanager
def remote_run(url: str, folder: Path, workers: int, *flags: str) -> Iterator[tuple[Run, Join]]:
    """Begin a run that waits for its workers; yield it and the join that it wrote."""
    began = Run(
        url, folder, "--run-type", "remote", "--workers", str(workers),
        "--join-timeout", str(JOIN_WAIT_S), *flags,
    )  # fmt: skip
    try:
        file = folder / "worker.join"
        until(lambda: file.exists() or began.process.poll() is not None, "join file")
        assert file.exists(), began.wait()
        assert file.stat().st_mode & 0o777 == 0o600
        yield began, Join.decode(file.read_text())
    finally:
        began.end()


@contextmanager
def joined(
    join: Join, befores: Sequence[Sequence[str]], *, environ: dict[str, str] | None = None
) -> Iterator[list[WorkerProcess]]:
    """Start a worker for each entry of `befores`, by number; end what is left of them."""
    started: list[WorkerProcess] = []
    try:
        for index, before in enumerate(befores):
            started.append(WorkerProcess(join.for_worker(index), before=before, environ=environ))
        yield started
    finally:
        for worker in started:
            worker.kill()
