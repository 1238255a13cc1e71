"""A local worker: a process that forks one more for each slot in use, and looks after those.

Started by a coordinator, it takes messages on its standard input and answers on its output. When
the coordinator is gone it ends all attempts, and itself. It has one thread, as it forks.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

import msgspec

from steelyard.domain.fleet.gpus import Device, choose, share, variables
from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import TaskKind
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet import capabilities
from steelyard.runtime.fleet.attempt_run import Attempt, Control, carry_out
from steelyard.runtime.fleet.local_messages import (
    MESSAGE_BYTES_MAX,
    Begin,
    Cancel,
    Ended,
    FromWorker,
    Heard,
    Joined,
    Setup,
    Start,
    ToWorker,
    passed_on,
)
from steelyard.runtime.fleet.local_processes import (
    adopt_orphans,
    die_with_thread,
    end_orphans,
    signal_name,
)
from steelyard.runtime.pipe_frames import Frames, frame_of
from steelyard.runtime.plugin_host import PluginHost

_CHUNK = 1 << 16
ATTEMPTS_MAX = 1_000
"""After so many a process is replaced: what kinds of tasks leave in memory is bounded."""

_HARD_S = 0.3
"""How long after its grace an attempt's own process may take before it is killed itself."""


class _Runner:
    """A process that carries attempts out, as its worker sees it.

    Attributes:
        problem: why it was ended, where what it said was no message.
        lease: what it is at, None while it waits.
        kill_s: when it is killed, on the monotonic clock.
        left: how many attempts it may still carry out.
    """

    def __init__(self, pid: int, control_fd: int) -> None:
        self.pid = pid
        self.control_fd = control_fd
        self.frames = Frames(FromWorker, bytes_max=MESSAGE_BYTES_MAX)
        self.problem = ""
        self.lease: Lease | None = None
        self.gpus: tuple[Device, ...] = ()
        self.kill_s = float("inf")
        self.is_cancelled = False
        self.left = ATTEMPTS_MAX

    def let_go(self) -> None:
        """Have it end when it is done with what it is at."""
        if self.control_fd >= 0:
            os.close(self.control_fd)
            self.control_fd = -1


class LocalWorker:
    """The worker's loop.

    Args:
        setup: how it works.
        host: has the kinds of tasks.
        incoming, outgoing: descriptors of the coordinator's pipes.
        frames: what of the first was read already.
    """

    def __init__(
        self, setup: Setup, host: PluginHost, incoming: int, outgoing: int, frames: Frames
    ) -> None:
        self._setup = setup
        self._host = host
        self._incoming, self._outgoing = incoming, outgoing
        self._frames = frames
        self._kinds: dict[str, TaskKind] = {}
        self._runners: dict[int, _Runner] = {}
        self._idle: list[_Runner] = []
        self._unreaped: set[int] = set()  # processes of runners, those that were let go too
        self._devices: tuple[Device, ...] = ()
        self._selector = selectors.DefaultSelector()
        self._over = False
        self._speak_s = 0.0

    def run(self) -> None:
        """Work until the coordinator is gone or a signal comes; then end all attempts."""
        adopt_orphans()
        self._join()
        self._selector.register(self._incoming, selectors.EVENT_READ, self._hear)
        woken = _wake_on_signals(self._selector, self._end)
        while not self._over:
            self._turn()
        for runner in self._runners.values():
            self._cancel(runner)
        for runner in self._idle:
            runner.let_go()
        self._speak_s = float("inf")
        while self._runners:
            self._turn()
        end_orphans()
        for end in woken:
            end.close()

    def _turn(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._speak_s and not self._over:
            self._speak_s = now_s + self._setup.heartbeat_s
            self._say(Heard(tuple(self._runners)))
        for runner in self._runners.values():
            if now_s >= runner.kill_s:
                runner.kill_s = float("inf")
                os.kill(runner.pid, signal.SIGKILL)
        next_s = min([self._speak_s, *(r.kill_s for r in self._runners.values())])
        for key, _ in self._selector.select(max(next_s - now_s, 0.0)):
            key.data()

    def _join(self) -> None:
        found = capabilities.detect(
            self._setup.directory, labels=self._setup.labels, programs=self._setup.detect
        )
        place, count = self._setup.place, self._setup.count
        has = share(found.capabilities, place, count)
        self._devices = found.devices[place::count]
        slots = self._setup.slots or max(int(has.cpu_cores), 1)
        gc.collect()
        gc.freeze()  # forks share what is there now
        self._say(Joined(has, slots))

    def _say(self, message: FromWorker) -> None:
        view = memoryview(frame_of(message))
        try:
            while view:
                view = view[os.write(self._outgoing, view) :]
        except BrokenPipeError:
            self._over = True

    def _end(self) -> None:
        self._over = True

    def _hear(self) -> None:
        data = os.read(self._incoming, _CHUNK)
        if not data:
            self._selector.unregister(self._incoming)
            self._over = True
        for message in self._frames.feed(data):
            if isinstance(message, Start):
                self._start(message.lease, message.spec)
            elif isinstance(message, Cancel) and message.token in self._runners:
                self._cancel(self._runners[message.token])

    def _cancel(self, runner: _Runner) -> None:
        if not runner.is_cancelled:
            runner.is_cancelled = True
            runner.kill_s = time.monotonic() + self._setup.grace_s + _HARD_S
            # Its end may be on the way already.
            with contextlib.suppress(BrokenPipeError):
                os.write(runner.control_fd, frame_of(Cancel(self._token_of(runner))))

    def _token_of(self, runner: _Runner) -> int:
        return runner.lease.token if runner.lease is not None else 0

    # Attempts

    def _start(self, lease: Lease, spec: TaskSpec) -> None:
        taken = [device.name for runner in self._runners.values() for device in runner.gpus]
        gpus = choose(spec.requirements, self._devices, taken)
        if gpus is None:
            outcome = Outcome(ending=Ending.REFUSED, error="no such GPUs are free on this worker")
            self._say(Ended(lease.token, outcome))
            return
        try:
            env = passed_on(dict(os.environ), self._setup.environment)
            env |= variables(gpus, self._devices)
            self._kind(spec.kind)  # made here once, its process inherits it
            self._begin(Begin(lease, spec, env), gpus)
        except (SteelyardError, OSError) as error:
            self._say(Ended(lease.token, Outcome(ending=Ending.REFUSED, error=str(error))))

    def _kind(self, name: str) -> TaskKind:
        if name not in self._kinds:
            options = self._setup.task_kinds.get(name, {})
            self._kinds[name] = self._host.create("task_kind", name, **options)
        return self._kinds[name]

    def _begin(self, begin: Begin, gpus: tuple[Device, ...]) -> None:
        runner = self._idle.pop() if self._idle else self._fork()
        try:
            _write(runner.control_fd, begin)
        except BrokenPipeError:  # it died while it waited
            runner = self._fork()
            _write(runner.control_fd, begin)
        runner.lease, runner.gpus, runner.left = begin.lease, gpus, runner.left - 1
        self._runners[begin.lease.token] = runner

    def _fork(self) -> _Runner:
        with contextlib.ExitStack() as undo:  # where there are no more processes or files
            control_read, control_write = _pipe(undo)
            report_read, report_write = _pipe(undo)
            pid = os.fork()
            undo.pop_all()
        if pid == 0:
            _be_runner(self._setup, self._kind, control_read, report_write)
        self._unreaped.add(pid)
        os.close(control_read)
        os.close(report_write)
        runner = _Runner(pid, control_write)
        read = partial(self._read, runner, report_read)
        self._selector.register(report_read, selectors.EVENT_READ, read)
        return runner

    def _read(self, runner: _Runner, fd: int) -> None:
        data = os.read(fd, _CHUNK)
        self._understand(runner, data)
        # The pipe of one that was ended is heard no more: what it forked may hold it open.
        if not data or runner.problem:
            self._selector.unregister(fd)
            os.close(fd)
            self._died(runner)

    def _understand(self, runner: _Runner, data: bytes) -> None:
        """Pass on what a process says; one whose words are no message is ended, and no other."""
        try:
            for message in runner.frames.feed(data):
                if isinstance(message, Ended):
                    self._ended(runner, message)
                else:
                    self._say(message)
        except msgspec.MsgspecError as error:
            runner.problem = f"it said what is no message ({error})"
            os.kill(runner.pid, signal.SIGKILL)

    def _ended(self, runner: _Runner, message: Ended) -> None:
        self._release(runner)
        if runner.left and not self._over:
            self._idle.append(runner)
        else:
            runner.let_go()
        self._say(message)

    def _release(self, runner: _Runner) -> None:
        self._runners.pop(self._token_of(runner), None)
        runner.lease, runner.gpus = None, ()
        runner.kill_s, runner.is_cancelled = float("inf"), False

    def _died(self, runner: _Runner) -> None:
        """Clean up after a process that ended; what it was at is lost, unless it was to end."""
        code = os.waitstatus_to_exitcode(os.waitpid(runner.pid, 0)[1])
        lease, is_cancelled = runner.lease, runner.is_cancelled
        self._release(runner)
        runner.let_go()
        if runner in self._idle:
            self._idle.remove(runner)
        self._unreaped.discard(runner.pid)
        # None of a runner that was let go and ends by itself: its own end is yet to be heard of.
        end_orphans(self._unreaped)
        if lease is None:
            return
        how = f"killed by {signal_name(-code)}" if code < 0 else f"exit code {code}"
        error = f"the attempt's own process ended: {runner.problem or how}"
        outcome = Outcome(ending=Ending.LOST, error=error)
        if is_cancelled:
            outcome = Outcome(ending=Ending.CANCELLED, error="cancelled")
        self._say(Ended(lease.token, outcome))


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    for fd in ends:
        undo.callback(os.close, fd)
    return ends


def _be_runner(
    setup: Setup, kind: Callable[[str], TaskKind], control_fd: int, report_fd: int
) -> None:
    """Carry attempts out in this fork of the worker, until it closes the pipe. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        _close_all_but(control_fd, report_fd)
        adopt_orphans()
        report = partial(_report, report_fd)
        control = Control(control_fd)
        while (begin := control.next()) is not None:
            lease = begin.lease
            attempt = Attempt(setup, lease, begin.spec, kind(begin.spec.kind), begin.env)
            report(Ended(lease.token, carry_out(attempt, control, report)))
        code = 0
    finally:
        # It must not run on in the worker's code; a traceback is in the worker's log.
        error = sys.exc_info()[1]
        if error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(code)


def _report(fd: int, message: FromWorker) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker is dead, and what it ran is ended
        _write(fd, message)


def _write(fd: int, message: object) -> None:
    view = memoryview(frame_of(message))
    while view:
        view = view[os.write(fd, view) :]


def _close_all_but(*kept: int) -> None:
    """Close what else the worker has open: a pipe's end must mean that its other side is dead."""
    low, high = sorted(kept)
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, most)


def _wake_on_signals(
    selector: selectors.BaseSelector, end: Callable[[], None]
) -> tuple[socket.socket, socket.socket]:
    """Have SIGTERM end the loop's wait, and call `end`."""
    ours, kernels = socket.socketpair()
    for each in (ours, kernels):
        each.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides
    signal.signal(signal.SIGTERM, lambda *_: end())
    signal.set_wakeup_fd(kernels.fileno())
    selector.register(ours, selectors.EVENT_READ, partial(ours.recv, _CHUNK))
    return ours, kernels


def main(parent_pid: int) -> None:
    """Be a local worker of the coordinator with this process id."""
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what a plugin prints is no message
    die_with_thread(signal.SIGTERM)
    frames = Frames(ToWorker)
    while data := os.read(incoming, _CHUNK):
        said = list(frames.feed(data))
        if said:
            (setup,) = said
            host = PluginHost.standard(setup.plugin_dirs)
            if os.getppid() == parent_pid:
                LocalWorker(setup, host, incoming, outgoing, frames).run()
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
