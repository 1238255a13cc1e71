"""Role `worker`: sends requests from its leases and reports records in batches."""

import asyncio
import gc
import math
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from steelyard.domain.bench.headers import fill_headers
from steelyard.domain.bench.messages import (
    BeginPhase,
    ConfigureRun,
    DatasetProgress,
    GiveUp,
    GrantLeases,
    HandOverRecords,
    RecordBatch,
    RecordBatchAck,
    SetQuota,
    StopSending,
    WorkerFacts,
    WorkerReady,
)
from steelyard.domain.bench.plan import PhasePlan, Plan
from steelyard.domain.bench.targets import parse_target
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.clock import SystemClock, cpu_wait_s, sample_wall_offset
from steelyard.runtime.dataset_store import DatasetStoreReader
from steelyard.runtime.engine import Engine
from steelyard.runtime.exchange import Transport
from steelyard.runtime.guarded_endpoint import GuardedEndpoint, guarded
from steelyard.runtime.phase_load import phase_load
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.request_factory import RequestFactory
from steelyard.runtime.response_detail import ResponseDetail, detail_of
from steelyard.runtime.service import (
    Service,
    ServiceContext,
    on_cleanup,
    on_configure,
    on_message,
    on_start,
    on_stop,
)
from steelyard.runtime.timerfd import ClockStepWatch
from steelyard.runtime.unbuilt import UnbuiltAside

TICK_S = 0.05
FACTS_EVERY_TICKS = 10
CONNECTIONS_AHEAD_MAX = 1024
SCHEDULED_CONNECTIONS_AHEAD = 16
ACK_WAIT_S = 3.0


class Worker(Service):
    """Runs one load engine. Its number decides nothing but which indices it is leased."""

    service_type = "worker"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        self._number = context.index
        self._plan: Plan | None = None
        self._engine: Engine
        self._recorder: Recorder
        self._detail: ResponseDetail | None = None
        self._factory: RequestFactory
        self._transport: Transport
        self._board: Board | None = None
        self._steps: ClockStepWatch | None = None
        self._store: DatasetStoreReader | None = None
        self._clock_steps = 0
        self._handed_over = False
        self._unacknowledged = 0
        self._all_acknowledged = asyncio.Event()
        self._all_acknowledged.set()
        self._facts_since = (0, 0.0, 0.0)
        self._early_progress: DatasetProgress | None = None

    @on_configure
    async def _build(self, message: ConfigureRun) -> None:
        """Put the engine together from the plan's plugins."""
        plan = msgspec.convert(message.plan, Plan)
        loop = asyncio.get_running_loop()
        host = self.context.host
        targets = [parse_target(url) for url in plan.endpoint.urls]
        # A header names the variable of its secret; the value is in this process and no plan.
        headers = fill_headers(plan.endpoint.headers, os.environ)
        shaped = msgspec.structs.replace(plan.endpoint, headers=headers)
        name = plan.endpoint.type
        endpoint = guarded(host.create("endpoint", name, shaped), name, host)
        self._board = Board(board_path(Path(plan.artifact_dir)), plan.workers)
        cells = self._board.row(self._number)
        tokenizer = partial(
            host.create, "tokenizer", plan.dataset.tokenizer, **plan.dataset.tokenizer_options
        )
        self._recorder = Recorder(self._number, endpoint, tokenizer, cells, self._ship, loop)
        self._recorder.trust_usage = plan.endpoint.use_server_token_count
        self._detail = detail_of(plan, self._number, os.environ)
        if self._detail is not None:
            self._recorder.keep_detail(self._detail)
        secrets = {}
        key = os.environ.get(plan.endpoint.api_key_env) if plan.endpoint.api_key_env else None
        if key:
            secrets["Authorization"] = f"Bearer {key}"
        self._factory = RequestFactory(plan, endpoint, targets, secrets)
        self._engine = Engine(
            self._number,
            plan.run_id,
            self._factory,
            self._recorder,
            [phase_load(host, plan, number) for number in range(len(plan.phases))],
            self._board,
            loop=loop,
            attention=self._attend,
        )
        self._transport = host.create(
            "transport", plan.endpoint.transport, plan.endpoint, targets, self._engine, loop
        )
        if isinstance(endpoint, GuardedEndpoint):
            self._transport = UnbuiltAside(self._transport, self._engine, loop, self._give_up)
        self._engine.transport = self._transport
        self._plan = plan
        self._sample_clock()
        self._steps = ClockStepWatch(loop, self._clock_stepped)
        if self._early_progress is not None:
            await self._dataset(self._early_progress)

    @on_start
    async def _start(self) -> None:
        plan = self._configured()
        if plan.run_type != "inline":
            # Nothing on the hot path makes cycles; a collection in mid-run would be send lag.
            gc.collect()
            gc.freeze()
            gc.disable()
        ahead = max(_connections_ahead(phase) for phase in plan.phases) // plan.workers
        name = f"transport '{plan.endpoint.transport}'"
        with self.context.host.border.crossing(name, "open its connections"):
            await self._transport.open(min(ahead, CONNECTIONS_AHEAD_MAX))
        self._facts_since = (time.monotonic_ns(), self._busy_s(), cpu_wait_s())
        self.spawn(self._tick(), "tick")
        self._say_ready()

    def _say_ready(self) -> None:
        self.bus.post("worker_manager", WorkerReady(self._number))

    def _configured(self) -> Plan:
        if self._plan is None:
            message = "the worker has no plan yet"
            raise RuntimeError(message)
        return self._plan

    # --- messages ------------------------------------------------------------------------------

    @on_message(DatasetProgress)
    async def _dataset(self, message: DatasetProgress) -> None:
        """Read from the store as far as it is written."""
        if message.error or not message.ready:
            return
        if self._plan is None:
            # A fast dataset manager can be heard before our own command to configure.
            self._early_progress = message
            return
        if self._store is None:
            self._store = DatasetStoreReader(Path(message.path))
        self._factory.provide(self._store, message.ready, complete=message.complete)
        self._engine.dataset_grew()

    @on_message(BeginPhase)
    async def _begin_phase(self, message: BeginPhase) -> None:
        self._engine.begin(message, streaming=self._configured().endpoint.streaming)

    @on_message(GrantLeases)
    async def _grant(self, message: GrantLeases) -> None:
        self._engine.grant(message.leases, message.renew_to_ns)

    @on_message(SetQuota)
    async def _set_quota(self, message: SetQuota) -> None:
        self._engine.set_quota(message)

    @on_message(StopSending)
    async def _stop_sending(self, message: StopSending) -> None:
        self._engine.stop_sending(message.cancel_at_ns)
        self._attend()

    @on_message(RecordBatchAck)
    async def _acknowledged(self, _: RecordBatchAck) -> None:
        self._unacknowledged -= 1
        if not self._unacknowledged:
            self._all_acknowledged.set()

    # --- reporting -----------------------------------------------------------------------------

    def _ship(self, batch: RecordBatch) -> None:
        self._unacknowledged += 1
        self._all_acknowledged.clear()
        self.spawn(self.bus.send("records_manager", batch), "batch")

    def _give_up(self, reason: str) -> None:
        self.bus.post(self.context.controller_id, GiveUp(self._number, reason))

    def _attend(self) -> None:
        """Tell the timing manager how far we are, now."""
        if self._engine.done_sending:
            self._recorder.drain()
            self._recorder.flush()
        # Counts are totals: an acknowledgement that a full bus drops is made good by the next.
        self.bus.post("timing_manager", self._engine.ack())

    async def _tick(self) -> None:
        ticks = 0
        while not self._handed_over:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self._engine.tick(time.monotonic_ns())
            self._recorder.flush()
            if self._engine.begun:
                self._attend()
            if ticks % FACTS_EVERY_TICKS == 0:
                await self._report_facts()

    def _sample_clock(self) -> int:
        offset_ns = sample_wall_offset(SystemClock()).offset_ns
        self._transport.set_wall_offset(offset_ns)
        return offset_ns

    def _clock_stepped(self) -> None:
        self._clock_steps += 1
        self._sample_clock()

    def _busy_s(self) -> float:
        """Return the CPU time used, but for what was spent on being awake in time."""
        return time.process_time() - self._engine.timer.polled_ns / 1e9

    async def _report_facts(self) -> None:
        now_ns, cpu_s, wait_s = time.monotonic_ns(), self._busy_s(), cpu_wait_s()
        since_ns, since_cpu_s, since_wait_s = self._facts_since
        self._facts_since = (now_ns, cpu_s, wait_s)
        lag_p99_ns, lag_max_ns = self._recorder.take_send_lag_ns()
        facts = WorkerFacts(
            worker=self._number,
            mono_ns=now_ns,
            wall_offset_ns=self._sample_clock(),
            cpu_s=max(0.0, cpu_s - since_cpu_s),
            wait_s=wait_s - since_wait_s,
            span_s=(now_ns - since_ns) / 1e9,
            send_lag_p99_ns=lag_p99_ns,
            send_lag_max_ns=lag_max_ns,
            clock_steps=self._clock_steps,
        )
        await self.bus.send("records_manager", facts)

    @on_message(HandOverRecords)
    async def _hand_over(self, _: HandOverRecords) -> None:
        """Cancel what is in flight, hand over every record, wait (bounded) for the receipts."""
        if self._handed_over:
            return
        self._handed_over = True
        self._engine.stop_sending(time.monotonic_ns())
        self._recorder.drain()
        self._recorder.flush()
        failure = None if self._detail is None else self._detail.failure
        if failure is not None:
            self.log.error(str(failure))
        await self._report_facts()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_acknowledged.wait(), ACK_WAIT_S)

    @on_stop
    async def _stop(self) -> None:
        if self._plan is not None:
            await self._hand_over(HandOverRecords())

    @on_cleanup
    async def _close(self) -> None:
        if self._plan is None:
            return
        # After a failure there was no orderly stop: closing what is in flight must begin nothing.
        self._engine.stop_sending(time.monotonic_ns())
        await self._transport.close()
        self._engine.close()
        if self._detail is not None:
            self._detail.close()
        if self._steps is not None:
            self._steps.close()
        if self._store is not None:
            self._store.close()
        if self._board is not None:
            self._board.close()


def _connections_ahead(phase: PhasePlan) -> int:
    """Return how many connections a phase surely needs: its slots, or half a second of its rate."""
    wanted = phase.concurrency or CONNECTIONS_AHEAD_MAX
    if phase.request_rate is not None:
        wanted = min(wanted, math.ceil(phase.request_rate / 2))
    elif phase.fixed_schedule:
        wanted = min(wanted, SCHEDULED_CONNECTIONS_AHEAD)
    return min(wanted, phase.request_count or wanted, phase.session_count or wanted)
