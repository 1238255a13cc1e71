"""Child processes by fork: titled, bound to their parent's life, and able to say why they ended."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import setproctitle

from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.bus_port import describe_error

EXIT_CHILD_FAILED = 1
LAST_WORDS_MAX = 4096
TITLE_PREFIX = "steelyard"

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENDING = frozenset({signal.SIGINT, signal.SIGTERM})
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessError(SteelyardError):
    """A child process can't be made or reached."""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a child ended: `code` as `os.waitstatus_to_exitcode` gives it, and its last words."""

    code: int
    words: str = ""

    def __str__(self) -> str:
        """Such as `killed by SIGKILL`, or `exit code 1: ValueError: boom`."""
        if self.code < 0:
            text = f"killed by {signal.Signals(-self.code).name}"
        else:
            text = f"exit code {self.code}"
        return f"{text}: {self.words}" if self.words else text


class ChildEnd:
    """What the child has of its parent: a terminal for warnings, and a pipe for last words."""

    def __init__(self, terminal_fd: int, words_fd: int) -> None:
        self.terminal_fd = terminal_fd
        self._words_fd = words_fd

    def last_words(self, text: str) -> None:
        """Leave the reason of an exit for the parent; it reads them when the child is gone."""
        # A parent that is gone, or words said twice too long: nobody is left to tell.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._words_fd, text.encode()[:LAST_WORDS_MAX])


class ChildProcess:
    """A child as its parent sees it. Made by `fork_child`."""

    def __init__(self, pid: int, words_fd: int) -> None:
        self.pid = pid
        self._words_fd = words_fd
        self._pidfd = os.pidfd_open(pid)
        self._status: ExitStatus | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def status(self) -> ExitStatus | None:
        """Return how the child ended, None while it lives; never blocks."""
        if self._status is None:
            pid, wait_status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended(wait_status)
        return self._status

    def send(self, number: signal.Signals) -> None:
        """Send a signal; to a child that is gone, nothing."""
        if self.status() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> ExitStatus:
        """End the child now and return its status."""
        self.send(signal.SIGKILL)
        if self._status is None:
            self._ended(os.waitpid(self.pid, 0)[1])
        return self._status or ExitStatus(-signal.SIGKILL)

    def watch(self, on_end: Callable[[ExitStatus], None]) -> None:
        """Call `on_end` from the running loop as soon as the child is gone."""
        if self._status is not None:
            asyncio.get_running_loop().call_soon(on_end, self._status)
            return
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._on_pidfd, on_end)

    def _on_pidfd(self, on_end: Callable[[ExitStatus], None]) -> None:
        status = self.status()
        if status is not None:
            on_end(status)

    def _ended(self, wait_status: int) -> None:
        try:
            words = os.read(self._words_fd, LAST_WORDS_MAX).decode("utf-8", "replace")
        except BlockingIOError:  # no words, and a process that the child made still lives
            words = ""
        self._status = ExitStatus(os.waitstatus_to_exitcode(wait_status), words)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
        os.close(self._words_fd)
        os.close(self._pidfd)


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def require_clean_parent() -> None:
    """Refuse to fork where the child would inherit a loop or the locks of other threads.

    Raises:
        ProcessError: a loop runs, other Python threads live, or this is not the main thread.
    """
    if _loop_is_running():
        raise ProcessError(
            "roles can't be forked while an event loop runs",
            next_step="Call Supervisor.fork() before asyncio.run(), or use run type inline.",
        )
    others = [t.name for t in threading.enumerate() if t is not threading.current_thread()]
    if others or threading.current_thread() is not threading.main_thread():
        raise ProcessError(
            "roles can only be forked from the only thread of a process",
            got=", ".join(others) or threading.current_thread().name,
            next_step="Fork before starting threads, or use run type inline.",
        )


def set_title(name: str) -> None:
    """Show this process as `steelyard NAME` in `ps` and `pgrep -a steelyard`."""
    setproctitle.setproctitle(f"{TITLE_PREFIX} {name}")


def yield_to_others(pid: int, nice: int) -> None:
    """Have a process, and what it starts from now on, come after others; one that is gone may be.

    Where the kernel groups sessions by themselves, a nice value counts within its session alone:
    a process that leads a session of its own has its group wait too. Source: sched(7), "The
    autogroup feature".
    """
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        if os.getsid(pid) == pid:
            with contextlib.suppress(OSError):  # no such kernel, or it is not for us to say
                Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends (prctl(2), PR_SET_PDEATHSIG).

    A parent that ended before the call is noticed by its id.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise ProcessError("the kernel refused PR_SET_PDEATHSIG", got=reason)
    if os.getppid() != parent_pid:
        os._exit(EXIT_CHILD_FAILED)


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is over.

    What Python calls around a fork swallows an exception, so a Ctrl-C then would come to nothing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fork_child(title: str, main: Callable[[ChildEnd], int]) -> ChildProcess:
    """Fork; the child runs `main` and exits with its result, the parent gets a handle.

    The child never returns, runs no exit handlers, ignores SIGINT (the parent decides), gets
    SIGTERM when the parent dies, and holds none of the parent's open files.

    Raises:
        ProcessError: `require_clean_parent`.
    """
    require_clean_parent()
    sys.stdout.flush()
    sys.stderr.flush()
    parent_pid = os.getpid()
    words_read, words_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    pid = os.fork()
    if pid:
        os.close(words_write)
        return ChildProcess(pid, words_read)
    code = EXIT_CHILD_FAILED
    child = ChildEnd(-1, words_write)
    try:
        die_with_parent(parent_pid)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        set_title(title)
        child.terminal_fd = _detach_files(keep=words_write)
        code = main(child)
    finally:
        # Whatever happened, the child must not run on in its parent's code.
        error = sys.exc_info()[1]
        if error is not None:
            child.last_words(describe_error(error))
        os._exit(code)


def _detach_files(keep: int) -> int:
    """Point every inherited descriptor but `keep` at /dev/null; return a copy of stderr.

    Their numbers stay taken on purpose: an object of the parent that is collected here later
    closes its number, and that must not be a new file of the child.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in tuple(Path("/proc/self/fd").iterdir()):
        fd = int(entry.name)
        if fd not in (2, keep, null):
            os.dup2(null, fd, inheritable=fd in (0, 1))
    terminal_fd = os.dup(2)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    point_output_at(null)
    return terminal_fd


def point_output_at(fd: int) -> None:
    """Send this process's standard output and error, Python's and C's, to `fd`."""
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


@dataclass(frozen=True, slots=True)
class ProcSample:
    """What the kernel says of a process: state letter, CPU time used in clock ticks."""

    state: str
    cpu_ticks: int


def sample_process(pid: int) -> ProcSample | None:
    """Read `/proc/PID/stat` (proc_pid_stat(5)); None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold spaces and parentheses; fields count from the last one.
    fields = text.rpartition(")")[2].split()
    return ProcSample(fields[0], int(fields[11]) + int(fields[12]))
