"""A worker's engine with a real transport against the simulated server, without roles or a bus."""

import asyncio
import csv
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from scripted_server import OneEach

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.builtin.transport.http1 import Http1Transport
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.messages import BeginPhase, Lease, RecordBatch, SetQuota
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.domain.bench.targets import parse_target
from steelyard.runtime.board import Board
from steelyard.runtime.engine import Engine
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.server import MockServer
from steelyard.runtime.phase_load import phase_load
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.request_factory import RequestFactory

MS = 1_000_000
LEAD_NS = 5 * MS
WAIT_S = 60


def most_at_once(spans: list[tuple[int, int]]) -> int:
    """Return how many of the half-open spans overlap at most; an end frees before a start takes."""
    changes = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    return int(np.cumsum([step for _, step in changes]).max(initial=0))


class Entries:
    """A dataset of equal conversations, each of so many turns."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def read(self, entry: int) -> Conversation:
        """Return an entry."""
        turns = tuple(Turn(text=f"entry {entry} turn {n}") for n in range(self.turns))
        return Conversation(id=str(entry), turns=turns)


class EngineRig:
    """One engine, one phase.

    Args:
        folder: for the board and the truth log.
        phase: fields of the phase's plan; its `request_count` is leased at once.
        mock: what the server is told.
        turns: of each conversation.
        streaming: whether streams are asked for.
        rank, size: the engine's place among the workers.
        seed: of the plan.
        indices: what is leased, `(from, to, stride)`; all of the phase unless given.
    """

    def __init__(
        self,
        folder: Path,
        phase: dict[str, Any],
        mock: dict[str, Any],
        *,
        turns: int = 1,
        streaming: bool = True,
        rank: int = 0,
        size: int = 1,
        seed: int = 42,
        indices: tuple[int, int, int] | None = None,
    ) -> None:
        self.folder = folder
        self.phase = PhasePlan(name="profiling", **phase)
        self.place = (rank, size)
        count = self.phase.request_count or self.phase.session_count or 0
        self.indices = indices or (0, count, 1)
        self.truth_log = folder / f"truth{rank}.csv"
        self.server = MockServer(
            MockOptions(**{"tokens": 3, **mock}, truth_log=str(self.truth_log))
        )
        self._turns, self._streaming, self._seed = turns, streaming, seed
        self._batches: list[RecordBatch] = []
        self.attended = 0
        self.start_ns = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await self.server.start()
        endpoint_plan = EndpointPlan(urls=(self.server.url,), streaming=self._streaming)
        plan = Plan(
            run_id="rig",
            models=("m",),
            endpoint=endpoint_plan,
            phases=(self.phase,),
            artifact_dir=str(self.folder),
            seed=self._seed,
        )
        rank, _ = self.place
        self.board = Board(self.folder / f"board{rank}", rank + 1, create=True)
        targets = [parse_target(self.server.url)]
        endpoint = ChatEndpoint(endpoint_plan)
        factory = RequestFactory(plan, endpoint, targets, {})
        factory.provide(Entries(self._turns), 10, complete=True)
        recorder = Recorder(
            rank, endpoint, OneEach, self.board.row(rank), self._batches.append, loop
        )
        self.engine = Engine(
            rank,
            plan.run_id,
            factory,
            recorder,
            [phase_load(PluginHost.standard(), plan, 0)],
            self.board,
            loop=loop,
            attention=self._attend,
        )
        self.transport = Http1Transport(endpoint_plan, targets, self.engine, loop)
        self.engine.transport = self.transport
        self._recorder = recorder
        await self.transport.open(self.phase.concurrency or 8)
        return self

    def _attend(self) -> None:
        self.attended += 1

    async def __aexit__(self, *_: object) -> None:
        self.engine.stop_sending(time.monotonic_ns())
        await self.transport.close()
        self.engine.close()
        await self.server.stop()
        self.board.close()

    def begin(self, **fields: Any) -> None:
        """Begin the phase a moment from now, with the worker's share of its limits."""
        rank, size = self.place
        self.start_ns = time.monotonic_ns() + LEAD_NS
        first, end, stride = self.indices
        lease = Lease(
            lease_id=1, epoch=0, phase=0, index_from=first, index_to=end, stride=stride,
            expires_ns=self.start_ns + 60_000 * MS,
        )  # fmt: skip
        message = BeginPhase(
            phase=0,
            epoch=0,
            start_ns=self.start_ns,
            concurrency=_share(self.phase.concurrency, rank, size),
            prefill_concurrency=_share(self.phase.prefill_concurrency, rank, size),
            leases=(lease,),
            rank=rank,
            size=size,
            **fields,
        )
        self.engine.begin(message, streaming=self._streaming)

    def set_place(self, rank: int, size: int) -> None:
        """Have the engine be another of another number of workers."""
        self.place = (rank, size)
        quota = SetQuota(
            phase=0,
            concurrency=_share(self.phase.concurrency, rank, size),
            prefill_concurrency=_share(self.phase.prefill_concurrency, rank, size),
            rank=rank,
            size=size,
        )
        self.engine.set_quota(quota)

    async def until_idle(self) -> None:
        """Wait until nothing is left to send or to wait for."""
        async with asyncio.timeout(WAIT_S):
            while not self.engine.idle:
                await asyncio.sleep(0.005)
        self._recorder.drain()
        self._recorder.flush()

    async def run(self, **fields: Any) -> np.ndarray:
        """Run the phase to its end; return its rows by index and turn."""
        self.begin(**fields)
        await self.until_idle()
        return self.rows

    @property
    def rows(self) -> np.ndarray:
        """The records so far, by index and turn."""
        data = b"".join(batch.data for batch in self._batches)
        return np.sort(np.frombuffer(data, RECORD_DTYPE), order=["schedule_index", "turn"])

    @property
    def messages(self) -> dict[int, str]:
        """Error texts by kind."""
        return {kind: text for batch in self._batches for kind, text in batch.messages.items()}

    def truth(self) -> list[dict[str, str]]:
        """Return the rows of the server's truth log; to be asked after the server has stopped."""
        with self.truth_log.open(newline="") as file:
            return list(csv.DictReader(file))


def _share(total: int | None, rank: int, size: int) -> int | None:
    return None if total is None else total // size + (rank < total % size)
