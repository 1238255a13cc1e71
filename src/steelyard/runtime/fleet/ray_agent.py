"""What a fleet runs on each node of a Ray cluster: a local engine, spoken to from afar.

One actor a node. It and the coordinator say bytes of msgpack to each other, never objects. When
the coordinator, the node or the actor dies, the local worker below ends all that it runs.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet.attempt_logs import STREAMS, attempt_directory, log_path, read_log
from steelyard.runtime.fleet.local_engine import LocalEngine
from steelyard.runtime.fleet.output_files import Found, Gone, OutputFiles
from steelyard.runtime.fleet.ray_cluster import AUTH_MODE, is_secured, node_settings
from steelyard.runtime.fleet.tree_removal import opened, remove_tree
from steelyard.runtime.fleet.worker_logs import cut_logs, logs_before, remove_logs

LOG_POLL_S = 0.2
UNSEEN_MAX = 4 << 20
"""Bytes of logs that wait for the coordinator; more is read from the files when it has those."""


_HEARD_MAX = 100
"""With so much unseen, heartbeats are left out."""

_FOUND = msgspec.msgpack.Decoder(list[Found])


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the coordinator says of all nodes; the rest is the node's own, see `NodeSettings`.

    Attributes:
        fleet: whose attempts have a directory of their own on the node, as tokens count anew in
            another fleet.
        keep: leave that directory when the agent ends.
    """

    worker_id: str
    fleet: str
    heartbeat_s: float = 2.0
    grace_s: float = 0.5
    log_mb: float = 16.0
    memory_gb: float = 0.0
    cpu_s: int = 0
    files: int = 0
    task_kinds: dict[str, dict[str, Any]] = {}
    keep: bool = True


class Ready(msgspec.Struct, frozen=True, tag=True):
    """What the worker of a node has."""

    capabilities: Capabilities
    slots: int


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Why there is no worker on a node, or no attempt on a worker; nothing when there is."""

    reason: str = ""


class Order(msgspec.Struct, frozen=True):
    """An attempt to carry out."""

    lease: Lease
    spec: TaskSpec


class Piece(msgspec.Struct, frozen=True):
    """Bytes of an attempt's output, and where in it they stand."""

    lease: Lease
    stream: str
    offset: int
    data: bytes


class Said(msgspec.Struct, frozen=True):
    """One thing that an agent has to say; kept until the coordinator has seen its number."""

    seq: int
    event: EngineEvent | None = None
    piece: Piece | None = None


class NodeAgent:
    """The actor of a node.

    Args:
        settings: an `AgentSettings`, as msgpack.
    """

    def __init__(self, settings: bytes) -> None:
        self._settings = msgspec.msgpack.decode(settings, type=AgentSettings)
        self._engine: LocalEngine | None = None
        self._root = Path()
        self._seq = 0
        self._unseen: deque[Said] = deque()
        self._unseen_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._offsets: dict[tuple[int, str], int] = {}
        self._leases: dict[int, Lease] = {}
        self._untold: set[int] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._listing: Iterator[list[Found]] = iter(())

    async def start(self) -> bytes:
        """Start the node's worker, which detects what the node has; return `Ready` or `Refusal`."""
        try:
            return msgspec.msgpack.encode(await self._start())
        except SteelyardError as error:
            return msgspec.msgpack.encode(Refusal(str(error)))

    async def _start(self) -> Ready:
        if not is_secured():
            raise SteelyardError(
                f"Ray does not authenticate on {socket.gethostname()}",
                expected=f"{AUTH_MODE}=token in the environment of its processes",
                next_step="Start the node with: steelyard fleet join",
            )
        own, told = node_settings(), self._settings
        self._engine = LocalEngine(
            directory=f"{own.directory}/{told.fleet}", name=told.worker_id, slots=own.slots,
            labels=own.labels, environment=own.environment, detect=own.detect,
            plugin_dirs=own.plugin_dirs, heartbeat_s=told.heartbeat_s, grace_s=told.grace_s,
            log_mb=told.log_mb, memory_gb=told.memory_gb, cpu_s=told.cpu_s, files=told.files,
            task_kinds=told.task_kinds,
        )  # fmt: skip
        self._root = Path(self._engine.directory)
        try:
            ((_, capabilities, slots),) = await self._engine.start()
        except SteelyardError:
            await self._engine.stop()
            raise
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read_logs())]
        return Ready(capabilities, slots)

    async def submit(self, order: bytes) -> bytes:
        """Carry out an attempt, an `Order`; return a `Refusal`, without a reason when it is not."""
        wanted = msgspec.msgpack.decode(order, type=Order)
        reason = "the node's worker has not started"
        if self._engine is not None:
            try:
                await self._engine.submit(wanted.lease, wanted.spec)
            except SteelyardError as error:
                reason = str(error)
            else:
                self._leases[wanted.lease.token] = wanted.lease
                reason = ""
        return msgspec.msgpack.encode(Refusal(reason))

    async def cancel(self, lease: bytes) -> None:
        """End an attempt, a `Lease`; one that is unknown is none."""
        if self._engine is not None:
            await self._engine.cancel(msgspec.msgpack.decode(lease, type=Lease))

    async def poll(self, seen: int, wait_s: float) -> bytes:
        """Return what there is to say after number `seen`, at once or when there is something."""
        while self._unseen and self._unseen[0].seq <= seen:
            piece = self._unseen.popleft().piece
            self._unseen_bytes -= len(piece.data) if piece is not None else 0
        if self._unseen_bytes < UNSEEN_MAX:
            self._room.set()
        if not self._unseen:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)
        return msgspec.msgpack.encode(list(self._unseen))

    async def stop(self) -> int:
        """End all attempts; return the process id of this actor."""
        for task in (*self._tasks, *self._ending):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ending, return_exceptions=True)
        if self._engine is not None:
            await self._engine.stop()
            if not self._settings.keep:
                await asyncio.to_thread(_remove, self._root)
        return os.getpid()

    # What is over

    async def outputs(self, begin: bool) -> bytes:  # noqa: FBT001  a call from afar
        """Return the next of the tasks that have files here, `Found`, as a list; none at the end.

        Args:
            begin: from the first one on.
        """
        if begin:
            self._listing = self._files().parts()
        return msgspec.msgpack.encode(await asyncio.to_thread(next, self._listing, []))

    async def output_sizes(self, found: bytes) -> bytes:
        """Return what each of a list of `Found` takes of the disk, a list."""
        sizes = await asyncio.to_thread(self._files().sizes, _FOUND.decode(found))
        return msgspec.msgpack.encode(sizes)

    async def remove_outputs(self, found: bytes, dry_run: bool) -> bytes:  # noqa: FBT001  as above
        """Remove attempts of a list of `Found`, none that is under way; return what is `Gone`."""
        files = self._files()
        gone = await asyncio.to_thread(files.remove, _FOUND.decode(found), dry_run=dry_run)
        return msgspec.msgpack.encode(gone)

    async def tidy_logs(self, before_ns: int, dry_run: bool) -> bytes:  # noqa: FBT001  as above
        """Remove logs of workers that this node was; return what is `Gone`."""
        return msgspec.msgpack.encode(await asyncio.to_thread(self._tidy_logs, before_ns, dry_run))

    def _files(self) -> OutputFiles:
        # An attempt whose end is not told yet is under way: its logs are read from its files.
        return OutputFiles(self._root, lambda: {*self._leases, *self._untold})

    def _tidy_logs(self, before_ns: int, dry_run: bool) -> Gone:  # noqa: FBT001  as above
        own = self._settings.worker_id
        old = logs_before(self._root, before_ns, [own]) if before_ns else []
        left = Gone() if dry_run else cut_logs(self._root, [own])
        return left + remove_logs(self._root, old, dry_run=dry_run)

    # What there is to say

    async def _listen(self) -> None:
        while self._engine is not None:
            event = await self._engine.next_event()
            if event.kind == "ended" and event.lease is not None:
                # Its logs come before its end; other attempts do not wait for that.
                self._untold.add(event.lease.token)
                ending = asyncio.create_task(self._end(event.lease, event))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
                continue
            if event.kind == "worker_died":
                for lease in self._leases.values():
                    self._say_pieces(lease)
                self._leases.clear()
                self._offsets.clear()
            if event.kind != "heard":
                self._say(event=event)
            elif len(self._unseen) < _HEARD_MAX:
                # What the coordinator is not told the end of yet would be lost if it were not named
                tokens = (*event.tokens, *self._untold)
                self._say(event=msgspec.structs.replace(event, tokens=tokens))

    async def _end(self, lease: Lease, event: EngineEvent) -> None:
        self._leases.pop(lease.token, None)
        await self._wait_for_room()
        while self._say_pieces(lease):
            await self._wait_for_room()
        for stream in STREAMS:
            self._offsets.pop((lease.token, stream), None)
        self._untold.discard(lease.token)
        self._say(event=event)

    async def _read_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_POLL_S)
            for lease in list(self._leases.values()):
                await self._wait_for_room()
                if lease.token in self._leases:
                    self._say_pieces(lease)

    async def _wait_for_room(self) -> None:
        while self._unseen_bytes >= UNSEEN_MAX:
            self._room.clear()
            await self._room.wait()

    def _say_pieces(self, lease: Lease) -> bool:
        """Say what is new in an attempt's logs; False when nothing is."""
        place = attempt_directory(self._root, lease.task_id, lease.attempt, lease.token)
        some = False
        for stream in STREAMS:
            key = lease.token, stream
            offset = self._offsets.get(key, 0)
            data = read_log(log_path(place, stream), offset)
            if data:
                some = True
                self._offsets[key] = offset + len(data)
                self._say(piece=Piece(lease, stream, offset, data))
        return some

    def _say(self, event: EngineEvent | None = None, piece: Piece | None = None) -> None:
        self._seq += 1
        self._unseen.append(Said(self._seq, event, piece))
        self._unseen_bytes += len(piece.data) if piece is not None else 0
        self._news.set()


def _remove(directory: Path) -> None:
    with contextlib.suppress(OSError), opened(directory.parent) as place:
        remove_tree(directory.name, place)
