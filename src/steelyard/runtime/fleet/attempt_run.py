"""Carries attempts out, one after another, in a process that outlives all that they start.

The process forks an attempt's program into a session and process group of its own, adopts what
that leaves behind, and is done only when all of it is gone. A pipe tells it what to carry out and
what to end; at the pipe's end whoever made it is dead.
"""

import errno
import os
import select
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from steelyard.domain.fleet.attempts import RESULT_MAX, Ran, Work
from steelyard.domain.fleet.model import OWN_FAILURES, Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import TaskKind
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.attempt_logs import LogSink, attempt_directory, log_path
from steelyard.runtime.fleet.local_messages import (
    Begin,
    Cancel,
    Ended,
    FromWorker,
    Setup,
    Started,
)
from steelyard.runtime.fleet.local_processes import (
    MARK,
    ProcessLimits,
    apply_limits,
    die_with_thread,
    end_orphans,
    go_first_when_memory_ends,
    signal_group,
    signal_name,
)
from steelyard.runtime.pipe_frames import Frames
from steelyard.runtime.plugin_border import PluginBorder

_CHUNK = 1 << 16
_EXIT_NO_PROGRAM = 127
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)
_GB = 1_000_000_000
_LOOK_S = 3_600.0
_OF_A_NAME = frozenset({errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
"""What a file of a task can't be written for on any worker."""
_JUDGED = OWN_FAILURES | {Ending.SUCCEEDED}
"""What a kind of tasks can say of an attempt; the rest would have it tried again without end."""


class Attempt(msgspec.Struct, frozen=True):
    """What is to be carried out.

    Attributes:
        kind: of the task, made.
        env: variables that the worker lets through, and those that show GPUs.
    """

    setup: Setup
    lease: Lease
    spec: TaskSpec
    kind: TaskKind
    env: dict[str, str]

    @property
    def directory(self) -> Path:
        """Where its files are."""
        lease = self.lease
        root = Path(self.setup.directory)
        return attempt_directory(root, lease.task_id, lease.attempt, lease.token)


class Control:
    """What a worker tells a process of its own, by a pipe.

    Attributes:
        fd: readable when there is something.
        is_over: the worker is dead.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_over = False
        self._frames = Frames(Begin | Cancel)
        self._begun: deque[Begin] = deque()
        self._cancelled = 0

    def next(self) -> Begin | None:
        """Wait for an attempt to carry out; None when the worker is dead."""
        while not self._begun and not self.is_over:
            self.read()
        return self._begun.popleft() if self._begun and not self.is_over else None

    def wants_end(self, token: int) -> bool:
        """Tell whether this attempt is to end, by what was read so far."""
        return self.is_over or self._cancelled == token

    def read(self) -> None:
        """Take what is there, or wait for something."""
        data = os.read(self.fd, _CHUNK)
        self.is_over = not data
        for message in self._frames.feed(data):
            if isinstance(message, Begin):
                self._begun.append(message)
            else:
                self._cancelled = message.token


class _Watch:
    """Looks after a program until it ends, by itself or because it has to.

    Attributes:
        ending: why it was ended, None when it ended by itself.
    """

    def __init__(
        self, attempt: Attempt, pid: int, control: Control, outputs: dict[int, LogSink]
    ) -> None:
        self.ending: Ending | None = None
        self._grace_s = attempt.setup.grace_s
        self._pid = pid
        self._control = control
        self._token = attempt.lease.token
        self._outputs = outputs
        self._end_s = time.monotonic() + attempt.spec.timeout_s
        self._poll = select.poll()
        self._pidfd = os.pidfd_open(pid)
        for fd in (self._pidfd, control.fd, *outputs):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> int:
        """Return the status of the program, as waitpid(2) has it, when nothing of it is left."""
        self._heed()  # the end may have been asked for together with the beginning
        while not self._step():
            if time.monotonic() >= self._end_s:
                if self.ending is None:
                    self._stop(Ending.TIMED_OUT)
                else:
                    signal_group(self._pid, signal.SIGKILL)
                    self._end_s = float("inf")
        signal_group(self._pid, signal.SIGKILL)  # its id is not given anew until it is waited for
        status = os.waitpid(self._pid, 0)[1]
        end_orphans()
        self._read_the_rest()
        os.close(self._pidfd)
        return status

    def _read_the_rest(self) -> None:
        """Take what is left; who else holds an output open can't be ended, nor waited for."""
        for fd in list(self._outputs):
            os.set_blocking(fd, False)
            try:
                while self._read(fd):
                    continue
            except BlockingIOError:
                self._let_go(fd)

    def _step(self) -> bool:
        """Wait for something to happen; return True when the program has ended."""
        # poll(2) takes no more than 24 days.
        timeout_ms = min(max(self._end_s - time.monotonic(), 0.0), _LOOK_S) * 1000
        happened = [fd for fd, _ in self._poll.poll(timeout_ms)]
        for fd in happened:
            if fd == self._control.fd:
                self._control.read()
                self._heed()
            elif fd in self._outputs:
                self._read(fd)
        return self._pidfd in happened

    def _heed(self) -> None:
        if self.ending is None and self._control.wants_end(self._token):
            self._stop(Ending.CANCELLED)
        if self._control.is_over:
            self._poll.unregister(self._control.fd)

    def _stop(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        signal_group(self._pid, signal.SIGTERM)
        self._end_s = time.monotonic() + self._grace_s

    def _read(self, fd: int) -> bool:
        data = os.read(fd, _CHUNK)
        if data:
            self._outputs[fd].write(data)
            return True
        self._let_go(fd)
        return False

    def _let_go(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._outputs[fd]
        os.close(fd)


def carry_out(attempt: Attempt, control: Control, say: Callable[[FromWorker], None]) -> Outcome:
    """Carry an attempt out, and return what it came to; nothing that it started is left.

    Args:
        attempt: what, and where.
        control: says when it is to end.
        say: is told that it started.
    """
    label = f"task_kind/{attempt.spec.kind}"
    place = attempt.directory / "work"
    try:
        # Of a ledger that is no more: within one no token comes twice.
        if attempt.directory.is_dir():
            shutil.rmtree(attempt.directory)
        place.mkdir(mode=0o700, parents=True)
        with PluginBorder().crossing(label, "say what to run"):
            work = attempt.kind.work(attempt.spec, str(place))
            if not isinstance(work, Work):
                raise TypeError(f"it returned {type(work).__name__}, not Work")
        problem = _write_files(place, work)
        if problem:
            return Outcome(ending=Ending.FAILED, error=problem)
        sinks = [
            LogSink(log_path(attempt.directory, stream), attempt.setup.log_bytes_max)
            for stream in ("stdout", "stderr")
        ]
    except OSError as error:
        text = f"the attempt's directory can't be made: {(error.strerror or str(error)).lower()}"
        return Outcome(ending=Ending.REFUSED, error=text)
    except SteelyardError as error:
        return Outcome(ending=Ending.FAILED, error=str(error))
    begun_ns = time.monotonic_ns()
    try:
        pid, outputs = _spawn(attempt, work, place, sinks)
    except OSError as error:
        for sink in sinks:
            sink.close()
        reason = (error.strerror or str(error)).lower()
        what = f"{work.argv[0]} can't be run"
        if not (place / work.cwd).is_dir():
            what = f"its directory {work.cwd} can't be entered"
        return Outcome(ending=Ending.FAILED, error=f"{what}: {reason}")
    say(Started(attempt.lease.token, pid))
    watch = _Watch(attempt, pid, control, outputs)
    code = os.waitstatus_to_exitcode(watch.run())
    for sink in sinks:
        sink.close()
    ran = Ran(
        directory=str(place),
        exit_code=code,
        signal=signal_name(-code) if code < 0 else "",
        seconds=(time.monotonic_ns() - begun_ns) / NS_PER_S,
        stdout=sinks[0].tail(),
        stderr=sinks[1].tail(),
    )
    return _unless_lost(_judged(attempt, ran, watch.ending, label), sinks)


def _unless_lost(outcome: Outcome, sinks: list[LogSink]) -> Outcome:
    """Have an attempt fail whose output is not there to be read, on a full disk mostly."""
    lost = next((sink for sink in sinks if sink.error), None)
    if lost is None:
        return outcome
    text = f"its {lost.stream} could not be kept: {lost.error}"
    if outcome.ending is Ending.SUCCEEDED:
        return msgspec.structs.replace(outcome, ending=Ending.FAILED, error=text)
    return msgspec.structs.replace(outcome, error=f"{outcome.error}; {text}")


def _judged(attempt: Attempt, ran: Ran, ending: Ending | None, label: str) -> Outcome:
    if ending is not None:
        text = "cancelled"
        if ending is Ending.TIMED_OUT:
            text = f"ran longer than its {attempt.spec.timeout_s:g} s"
        return Outcome(ending=ending, error=text, exit_code=ran.exit_code, seconds=ran.seconds)
    try:
        with PluginBorder().crossing(label, "tell what an attempt came to"):
            outcome = attempt.kind.outcome(attempt.spec, ran)
            data = msgspec.msgpack.encode(Ended(attempt.lease.token, outcome))
            if len(data) <= RESULT_MAX:
                # A worker that is told what it can't read would die, and all that it runs with it.
                outcome = msgspec.msgpack.decode(data, type=Ended).outcome
                if outcome.ending not in _JUDGED:
                    raise ValueError(f"it can't say that an attempt was {outcome.ending}")
    except SteelyardError as error:
        return _failed(ran, str(error))
    if len(data) > RESULT_MAX:
        return _failed(ran, f"its result has {len(data)} bytes, more than {RESULT_MAX}")
    return outcome


def _failed(ran: Ran, text: str) -> Outcome:
    return Outcome(
        ending=Ending.FAILED, error=text, exit_code=ran.exit_code, seconds=ran.seconds
    )  # fmt: skip


def _write_files(place: Path, work: Work) -> str:
    """Write what the program finds in its directory; return what is wrong with a file's name.

    Raises:
        OSError: the worker can't write it, whatever it were called.
    """
    for name, data in work.files.items():
        path = place / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            if error.errno not in _OF_A_NAME:
                raise
            return f"its file {name[:100]} can't be there: {os.strerror(error.errno).lower()}"
    return ""


def _spawn(
    attempt: Attempt, work: Work, place: Path, sinks: list[LogSink]
) -> tuple[int, dict[int, LogSink]]:
    """Fork the program; return its process, and the reading ends of its outputs.

    Raises:
        OSError: it can't be run there.
    """
    lease = attempt.lease
    env = {
        **attempt.env,
        "STEELYARD_FLEET_TASK": lease.task_id,
        "STEELYARD_FLEET_ATTEMPT": str(lease.attempt),
        "STEELYARD_FLEET_TOKEN": str(lease.token),
        "STEELYARD_FLEET_WORKER": lease.worker_id,
        **({"TRACEPARENT": trace} if (trace := attempt.spec.traceparent) else {}),
        **work.env,
        MARK: attempt.setup.mark,
    }
    limits = limits_of(attempt.setup.limits, attempt.spec)
    outputs = [os.pipe2(os.O_CLOEXEC) for _ in sinks]
    failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(work, env, str(place / work.cwd), limits, [w for _, w in outputs], failed_write)
    for fd in (failed_write, *(write for _, write in outputs)):
        os.close(fd)
    said = os.read(failed_read, 16)
    os.close(failed_read)
    if said:
        for read, _ in outputs:
            os.close(read)
        os.waitpid(pid, 0)
        number = int(said)
        raise OSError(number, os.strerror(number))
    return pid, {read: sink for (read, _), sink in zip(outputs, sinks, strict=True)}


def _become(
    work: Work,
    env: Mapping[str, str],
    cwd: str,
    limits: ProcessLimits,
    outputs: list[int],
    failed_fd: int,
) -> None:
    """Be the program; say through `failed_fd` why not. Never returns."""
    parent = os.getppid()
    try:
        os.setsid()
        die_with_thread(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_EXIT_NO_PROGRAM)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, fd in enumerate((null, *outputs)):
            os.dup2(fd, number)
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        go_first_when_memory_ends()
        os.chdir(cwd)
        apply_limits(limits)
        os.execvpe(work.argv[0], work.argv, env)  # noqa: S606  a shell is asked for by name
    except OSError as error:
        os.write(failed_fd, str(error.errno).encode())
    except ValueError:  # a NUL in a word
        os.write(failed_fd, str(errno.EINVAL).encode())
    finally:
        os._exit(_EXIT_NO_PROGRAM)


def limits_of(general: ProcessLimits, spec: TaskSpec) -> ProcessLimits:
    """Return the limits of an attempt: what its task asked for is what it gets."""
    needs = spec.requirements
    return msgspec.structs.replace(
        general,
        memory_bytes=_lower(general.memory_bytes, int(needs.memory_gb * _GB)),
        file_bytes=_lower(general.file_bytes, int(needs.disk_gb * _GB)),
    )


def _lower(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other
