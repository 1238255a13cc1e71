"""Workers that are registered by hand: each a process of this machine, under its own name."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from steelyard.builtin.engine.local import LocalEngine
from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.fleet.attempt_logs import STREAMS, attempts_of, log_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Registered(msgspec.Struct):
    engine: LocalEngine
    capabilities: Capabilities
    slots: int
    listening: asyncio.Task[None]


class RegisteredWorkers:
    """An engine without workers of its own: they come and go by `add` and `remove`.

    What a worker has is what its registration says; what runs is real.

    Args:
        directory: each worker has its own below it.
        heartbeat_s: how often workers speak.
    """

    def __init__(self, directory: Path, heartbeat_s: float) -> None:
        self._directory, self._heartbeat_s = directory, heartbeat_s
        self._workers: dict[str, _Registered] = {}
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()

    async def add(self, worker_id: str, capabilities: Capabilities, slots: int) -> None:
        """Start the process of a worker, and have it join.

        Raises:
            UsageError: it is there, or its name can't be one.
            SteelyardError: its process does not start.
        """
        if not _NAME.fullmatch(worker_id):
            raise UsageError(
                "That is no name of a worker", got=worker_id,
                expected="1 to 100 of the characters A-Z a-z 0-9 . _ -, a letter or digit first",
            )  # fmt: skip
        if worker_id in self._workers:
            raise UsageError("There is a worker of that name", got=worker_id)
        engine = LocalEngine(
            directory=str(self._directory / worker_id), name=worker_id, slots=slots,
            heartbeat_s=self._heartbeat_s, detect=False,
        )  # fmt: skip
        await engine.start()
        listening = asyncio.create_task(self._listen(worker_id, engine))
        self._workers[worker_id] = _Registered(engine, capabilities, slots, listening)
        self._join(worker_id)

    async def remove(self, worker_id: str) -> None:
        """End a worker, and what it runs; one that is not there is none."""
        worker = self._workers.pop(worker_id, None)
        if worker is not None:
            worker.listening.cancel()
            await asyncio.gather(worker.listening, return_exceptions=True)
            await worker.engine.stop()

    def pid(self, worker_id: str) -> int:
        """Return the process id of a worker, 0 when it is dead or not there."""
        worker = self._workers.get(worker_id)
        return worker.engine.pids.get(worker_id, 0) if worker is not None else 0

    def logs(self, task_id: str, worker_id: str) -> dict[str, str]:
        """Return what the latest attempt at a task wrote on a worker, by stream."""
        found = attempts_of(self._directory / worker_id, task_id)
        paths = {stream: log_path(found[-1], stream) for stream in STREAMS} if found else {}
        return {
            stream: path.read_text(errors="replace")
            for stream, path in paths.items()
            if path.is_file()
        }

    # Engine

    async def start(self) -> Sequence[tuple[str, Capabilities, int]]:
        """Begin without workers."""
        return ()

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Give an attempt to its worker.

        Raises:
            SteelyardError: the worker is gone or dead.
        """
        worker = self._workers.get(lease.worker_id)
        if worker is None:
            raise SteelyardError(f"Worker {lease.worker_id} is gone")
        await worker.engine.submit(lease, spec)

    async def cancel(self, lease: Lease) -> None:
        """Have an attempt end."""
        worker = self._workers.get(lease.worker_id)
        if worker is not None:
            await worker.engine.cancel(lease)

    async def next_event(self) -> EngineEvent:
        """Wait for what a worker has to say."""
        return await self._events.get()

    async def stop(self) -> None:
        """End all workers."""
        await asyncio.gather(*(self.remove(name) for name in list(self._workers)))

    def _join(self, worker_id: str) -> None:
        worker = self._workers[worker_id]
        self._events.put_nowait(
            EngineEvent(
                kind="worker_joined", worker_id=worker_id,
                capabilities=worker.capabilities, slots=worker.slots,
            )
        )  # fmt: skip

    async def _listen(self, worker_id: str, engine: LocalEngine) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                event = await engine.next_event()
                if event.kind == "worker_joined":  # started anew after its death
                    self._join(worker_id)
                else:
                    self._events.put_nowait(event)
