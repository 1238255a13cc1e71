"""Processes of a benchmark: tools in trees of their own, the C server, what they use."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

SERVER_SOURCE = Path(__file__).with_name("server.c")
ROOT = Path(__file__).resolve().parent.parent
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_OUTPUT_SHOWN = 2000


class ToolError(Exception):
    """A tool ended badly; the message ends with the last it printed."""


@dataclass(frozen=True)
class ToolRun:
    """What a tool and all processes below it came to.

    Attributes:
        begun_ns: CLOCK_MONOTONIC right before its process was made.
        wall_s: until its last process was gone.
        cpu_s: user and system time of the whole tree.
        output: its standard output.
    """

    begun_ns: int
    wall_s: float
    cpu_s: float
    output: str


def run_tool(
    command: Sequence[str],
    *,
    timeout_s: float,
    environ: dict[str, str] | None = None,
    watch: Callable[[int], None] | None = None,
    interval_s: float = 0.2,
) -> ToolRun:
    """Run a command in a process tree of its own.

    Args:
        command: what to run.
        timeout_s: its tree is killed after this long.
        environ: its environment; this process's when None.
        watch: called with the id of the tree's root while it runs.
        interval_s: how often it is called, and looked whether the tool has ended.

    Raises:
        ToolError: it failed, or did not end in time.
    """
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "usage.json"
        output = Path(directory) / "output"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.launcher", str(result), *command],
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**(environ or os.environ), "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
            )
        try:
            _wait(process, time.monotonic() + timeout_s, watch, interval_s)
        finally:
            kill_tree(process.pid)
            process.wait()
        text = output.read_text(errors="replace")
        if process.returncode or not result.exists():
            ended = f"ended with {process.returncode}" if result.exists() else "did not end in time"
            message = f"{Path(command[0]).name} {ended}:\n{text[-_OUTPUT_SHOWN:]}"
            raise ToolError(message)
        usage = json.loads(result.read_text())
    cpu_s = usage["user_s"] + usage["system_s"]
    return ToolRun(usage["begun_ns"], usage["wall_s"], cpu_s, text)


def _wait(
    process: subprocess.Popen[bytes],
    until: float,
    watch: Callable[[int], None] | None,
    interval_s: float,
) -> None:
    while process.poll() is None and time.monotonic() < until:
        if watch is not None:
            watch(process.pid)
        time.sleep(interval_s)


def tree(pid: int) -> list[psutil.Process]:
    """Return the living processes below `pid`, without itself."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_tree(pid: int) -> None:
    """Kill `pid` and everything below it."""
    found = tree(pid)
    try:
        found.append(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of `pid`, 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


class Server:
    """A running server: its URL, and what it has used."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._process = process
        self._cpu_s = self.cpu_s()
        self._begun = time.monotonic()

    def cpu_s(self) -> float:
        """Return its CPU time so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S


def build_server(directory: Path) -> Path:
    """Compile the C server into `directory` and return its path.

    Raises:
        ToolError: the compiler is missing or refuses.
    """
    program = directory / "server"
    compiler = os.environ.get("CC", "gcc")
    command = [compiler, "-O2", "-std=c17", "-Wall", "-o", str(program), str(SERVER_SOURCE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        message = f"the benchmarks' server needs a C compiler; there is no {compiler}"
        raise ToolError(message) from None
    if done.returncode:
        message = f"the benchmarks' server does not compile:\n{done.stderr}"
        raise ToolError(message)
    return program


@contextmanager
def serving(program: Path, *flags: str) -> Iterator[Server]:
    """Run the C server for as long as the block; its truth is written when the block ends."""
    process = subprocess.Popen([str(program), *flags], stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        message = "the server was started without a pipe"
        raise RuntimeError(message)
    try:
        yield Server(process, process.stdout.readline().split()[-1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


_STRANGER = """
import sys, time
share = float(sys.argv[1])
while True:
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.05 * share:
        sum(range(1000))
    time.sleep(0.05 * (1 - share))
"""


@contextmanager
def stranger(share: float) -> Iterator[None]:
    """Have a process that keeps a processor busy for this share of the time, and does no more.

    It shows what busy processors of this host take from each other, whoever keeps them busy.
    """
    process = subprocess.Popen([sys.executable, "-c", _STRANGER, f"{share:.3f}"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
