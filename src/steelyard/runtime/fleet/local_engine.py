"""Attempts as processes of this machine: each with a group, limits, files and logs of its own.

A worker is a process of its own, and so is what looks after each attempt: one that is killed takes
its attempts with it, and another worker takes its place. When the coordinator dies, all end.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.fleet.capabilities import usable_directory
from steelyard.runtime.fleet.local_messages import (
    MESSAGE_BYTES_MAX,
    Cancel,
    Ended,
    FromWorker,
    Heard,
    Joined,
    Setup,
    Start,
    Started,
    ToWorker,
    environment_of_worker,
)
from steelyard.runtime.fleet.local_processes import (
    END_WITHIN_S,
    ProcessLimits,
    end_marked,
    signal_name,
)
from steelyard.runtime.fleet.worker_logs import log_of
from steelyard.runtime.pipe_frames import Frames, frame_of

JOIN_WITHIN_S = 30.0
STOP_WITHIN_S = 5.0
_AGAIN_S = (0.2, 1.0, 5.0, 30.0)
"""How long after each death in a row a worker is started anew; the last from then on."""

_CHUNK = 1 << 16
_GB = 1_000_000_000


class LocalEngine:
    """Workers on this machine, and what they run.

    Args:
        directory: of the fleet; attempts have theirs in `attempts` below it.
        name: of the worker; `name-0`, `name-1` and so on where there are several.
        workers: how many share this machine, its cores, memory and GPUs.
        slots: attempts that a worker runs at once; 0 for one a core.
        labels: of the workers, beside those that are detected.
        environment: names of variables that attempts get beside the usual harmless ones.
        memory_gb, cpu_s, files: limits of each process of an attempt, 0 for none. A task that asks
            for memory or disk is held to that.
        log_mb: how much of an attempt's stdout and of its stderr is kept, from the beginning.
        grace_s: between SIGTERM and SIGKILL.
        heartbeat_s: how often workers speak.
        detect: look for runtimes and browsers.
        plugin_dirs: where workers find further kinds of tasks.
        task_kinds: options of kinds of tasks, by name; the others are made without.
    """

    def __init__(  # noqa: PLR0913  the options of a plugin are keywords
        self,
        *,
        directory: str = ".steelyard/fleet",
        name: str = "local",
        workers: int = 1,
        slots: int = 0,
        labels: dict[str, str] | None = None,
        environment: Sequence[str] = (),
        memory_gb: float = 0.0,
        cpu_s: int = 0,
        files: int = 0,
        log_mb: float = 16.0,
        grace_s: float = 0.5,
        heartbeat_s: float = 2.0,
        detect: bool = True,
        plugin_dirs: Sequence[str] = (),
        task_kinds: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        if workers < 1 or slots < 0:
            raise UsageError("A local engine needs a worker", got=workers, expected="1 or more")
        self.directory = usable_directory(directory)
        self._setup = Setup(
            worker_id=name, mark="", directory=self.directory, slots=slots, count=workers,
            heartbeat_s=heartbeat_s, grace_s=grace_s, environment=tuple(environment),
            log_bytes_max=int(log_mb * 1e6), labels=labels or {}, detect=detect,
            limits=ProcessLimits(memory_bytes=int(memory_gb * _GB), cpu_s=cpu_s, files=files),
            plugin_dirs=tuple(plugin_dirs), task_kinds=task_kinds or {},
        )  # fmt: skip
        self._workers: dict[str, _Worker] = {}
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._lock_fd = -1

    async def start(self) -> list[tuple[str, Capabilities, int]]:
        """Start the workers.

        Raises:
            UsageError: another engine works in the directory.
            SteelyardError: a worker does not start.
        """
        self._lock_fd = _lock(self.directory)
        # What a coordinator that was killed together with its workers may have left.
        await asyncio.to_thread(end_marked, f"{self.directory}#")
        names = [self._setup.worker_id]
        if self._setup.count > 1:
            names = [f"{names[0]}-{place}" for place in range(self._setup.count)]
        for place, name in enumerate(names):
            setup = msgspec.structs.replace(self._setup, worker_id=name, place=place)
            self._workers[name] = _Worker(setup, self._events)
        joined = await asyncio.gather(*(worker.start() for worker in self._workers.values()))
        self._tasks = [
            asyncio.create_task(worker.keep(), name=f"fleet-{name}")
            for name, worker in self._workers.items()
        ]
        return [
            (name, each.capabilities, each.slots)
            for name, each in zip(names, joined, strict=True)
        ]  # fmt: skip

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the workers that live, by name."""
        return {n: worker.pid for n, worker in self._workers.items() if worker.pid}

    @property
    def stop_within_s(self) -> float:
        """How long its end may take: attempts have their grace, what is killed has its own."""
        return STOP_WITHIN_S + self._setup.grace_s + 2 * END_WITHIN_S

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Give an attempt to its worker.

        Raises:
            SteelyardError: the worker is dead.
        """
        self._workers[lease.worker_id].begin(lease, spec)

    async def cancel(self, lease: Lease) -> None:
        """Have an attempt end; one that is unknown or has ended is none."""
        self._workers[lease.worker_id].say(Cancel(lease.token))

    async def next_event(self) -> EngineEvent:
        """Wait for what a worker says, or for its death."""
        return await self._events.get()

    async def stop(self) -> None:
        """End all attempts and workers; return when nothing of them is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        self._workers = {}
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


class _Worker:
    """The process of a worker, as its coordinator sees it."""

    def __init__(self, setup: Setup, events: "asyncio.Queue[EngineEvent]") -> None:
        self._setup = setup
        self._events = events
        self._process: asyncio.subprocess.Process | None = None
        self._messages: AsyncIterator[FromWorker] | None = None
        self._leases: dict[int, Lease] = {}
        self._deaths = 0

    async def start(self) -> Joined:
        """Start a process; return what it has.

        Raises:
            SteelyardError: it does not come up.
        """
        mark = f"{self._setup.directory}#{secrets.token_hex(8)}"
        self._setup = msgspec.structs.replace(self._setup, mark=mark)
        log = log_of(Path(self._setup.directory), self._setup.worker_id)
        try:
            # Its errors are there to be read when it died; mostly there are none.
            with log.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "steelyard.runtime.fleet.local_worker", str(os.getpid()),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                    start_new_session=True,
                    env=environment_of_worker(dict(os.environ), self._setup.environment),
                )  # fmt: skip
        except OSError as error:
            raise SteelyardError(
                f"Worker {self._setup.worker_id} can't be started: {error.strerror or error}"
            ) from error
        self._messages = self._read(self._process)
        self.say(self._setup)
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                joined = await anext(self._messages, None)
        except (TimeoutError, msgspec.MsgspecError):
            joined = None
        if not isinstance(joined, Joined):
            await self.stop()
            raise SteelyardError(
                f"Worker {self._setup.worker_id} does not start", next_step=f"See {log}."
            )
        return joined

    @property
    def pid(self) -> int:
        """Its process id, 0 while it is dead."""
        return self._process.pid if self._process is not None else 0

    async def keep(self) -> None:
        """Pass on what the worker says, and start another one when it died, until cancelled."""
        while True:
            await self._died(await self._heard())
            joined: Joined | None = None
            while joined is None:
                await asyncio.sleep(_AGAIN_S[min(self._deaths, len(_AGAIN_S) - 1)])
                self._deaths += 1
                with contextlib.suppress(SteelyardError):  # said when it died: it is tried again
                    joined = await self.start()
            self._events.put_nowait(
                EngineEvent(
                    kind="worker_joined", worker_id=self._setup.worker_id,
                    capabilities=joined.capabilities, slots=joined.slots,
                )
            )  # fmt: skip

    async def _heard(self) -> str:
        """Pass on what the worker says until its end; return what was wrong with it, if so."""
        try:
            async for message in self._messages or _nothing():
                self._deaths = 0 if isinstance(message, Ended) else self._deaths
                self._pass_on(message)
        except msgspec.MsgspecError as error:
            return f"it said what is no message ({error}), and was ended"
        return ""

    def begin(self, lease: Lease, spec: TaskSpec) -> None:
        """Have an attempt carried out."""
        if self._process is None:
            raise SteelyardError(f"Worker {lease.worker_id} is dead")
        self._leases[lease.token] = lease
        self.say(Start(lease, spec))

    def say(self, message: ToWorker) -> None:
        """Send the worker a message; one that is dead hears nothing."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(frame_of(message))

    async def stop(self) -> None:
        """End the process, its attempts before."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN_S + self._setup.grace_s):
                await _drained(process)
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            await asyncio.to_thread(end_marked, self._setup.mark)

    async def _read(self, process: asyncio.subprocess.Process) -> AsyncIterator[FromWorker]:
        frames = Frames(FromWorker, bytes_max=MESSAGE_BYTES_MAX)
        while process.stdout is not None and (data := await process.stdout.read(_CHUNK)):
            for message in frames.feed(data):
                yield message

    def _pass_on(self, message: FromWorker) -> None:
        name = self._setup.worker_id
        if isinstance(message, Heard):
            event = EngineEvent(kind="heard", worker_id=name, tokens=message.tokens)
        elif isinstance(message, Started) and message.token in self._leases:
            event = EngineEvent(kind="started", lease=self._leases[message.token])
        elif isinstance(message, Ended) and message.token in self._leases:
            lease = self._leases.pop(message.token)
            event = EngineEvent(kind="ended", lease=lease, outcome=message.outcome)
        else:
            return
        self._events.put_nowait(event)

    async def _died(self, problem: str) -> None:
        """Say that the worker died, when nothing of what it ran is left; why, if we end it."""
        process, self._process = self._process, None
        if problem and process is not None:
            process.kill()
            await _drained(process)
        code = await process.wait() if process is not None else 0
        how = f"killed by {signal_name(-code)}" if code < 0 else f"exit code {code}"
        await asyncio.to_thread(end_marked, self._setup.mark)
        self._leases.clear()
        self._events.put_nowait(
            EngineEvent(kind="worker_died", worker_id=self._setup.worker_id, reason=problem or how)
        )


async def _nothing() -> AsyncIterator[FromWorker]:
    for _ in ():
        yield _


async def _drained(process: asyncio.subprocess.Process) -> None:
    while process.stdout is not None and await process.stdout.read(_CHUNK):
        continue


def _lock(directory: str) -> int:
    """Take a fleet's directory for this engine; the lock goes with the process."""
    place = Path(directory)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(place / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise UsageError(
            "Another engine works in this directory",
            got=directory,
            next_step="Stop that coordinator, or give this one another directory.",
        ) from None
    return fd
