"""Role `timing_manager`: drives the timing machine, which decides who sends what until when."""

import asyncio
import time
from pathlib import Path

import msgspec

from steelyard.domain.bench.messages import (
    ConfigureRun,
    DatasetProgress,
    LeaseAck,
    ServiceLost,
    StopRun,
    WorkersReady,
)
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.timing import TimingMachine
from steelyard.domain.bench.timing_events import (
    Action,
    Announce,
    Event,
    Ready,
    Tell,
    Tick,
    WakeAt,
    WorkerLost,
)
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.service import (
    Service,
    ServiceContext,
    on_cleanup,
    on_configure,
    on_message,
    on_start,
)
from steelyard.runtime.timerfd import DeadlineTimer

LEAD_NS = 20 * NS_PER_MS


class TimingManager(Service):
    """Feeds events to the machine and does what it asks for; it decides nothing itself."""

    service_type = "timing_manager"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        self._machine: TimingMachine | None = None
        self._board: Board | None = None
        self._timer: DeadlineTimer | None = None
        self._wakes: list[int] = []
        self._workers: dict[int, str] = {}
        self._waits_for_all = False
        self._shows_counts = False
        self._scheduled: int | None = None
        self._entries_ready = False
        self._outbox: asyncio.Queue[Action] = asyncio.Queue()

    @on_configure
    async def _configure(self, message: ConfigureRun) -> None:
        plan = msgspec.convert(message.plan, Plan)
        self._machine = TimingMachine(plan.phases, lead_ns=LEAD_NS)
        self._shows_counts = plan.remote is not None
        self._waits_for_all = any(phase.fixed_schedule for phase in plan.phases)
        self._board = Board(board_path(Path(plan.artifact_dir)), plan.workers)
        self._timer = DeadlineTimer(asyncio.get_running_loop(), self._woken)

    @on_start
    async def _start(self) -> None:
        self.spawn(self._carry_out(), "actions")

    @on_message(WorkersReady)
    async def _workers_ready(self, message: WorkersReady) -> None:
        self._workers = dict(message.workers)
        self._begin_when_ready()

    @on_message(DatasetProgress)
    async def _dataset(self, message: DatasetProgress) -> None:
        if message.complete:
            self._scheduled = message.ready
        self._entries_ready = self._entries_ready or message.ready > 0
        self._begin_when_ready()

    def _begin_when_ready(self) -> None:
        waits = self._waits_for_all and self._scheduled is None
        if self._entries_ready and self._workers and not waits:
            self._feed(Ready(tuple(self._workers), self._scheduled))

    @on_message(LeaseAck)
    async def _ack(self, message: LeaseAck) -> None:
        if self._shows_counts and self._board is not None:
            self._board.set_counts(message)
        self._feed(message)

    @on_message(StopRun)
    async def _stop_run(self, message: StopRun) -> None:
        self._feed(message)

    @on_message(ServiceLost)
    async def _lost(self, message: ServiceLost) -> None:
        if message.service_type != "worker" or self._board is None:
            return
        self._workers.pop(message.index, None)
        board, worker = self._board, message.index
        self._feed(WorkerLost(worker, board.leases(worker), board.last_lease(worker)))

    def _woken(self) -> None:
        now_ns = time.monotonic_ns()
        self._wakes = [at for at in self._wakes if at > now_ns]
        self._feed(Tick())
        self._arm()

    def _arm(self) -> None:
        if self._wakes and self._timer is not None:
            self._timer.arm(min(self._wakes))

    def _feed(self, event: Event) -> None:
        if self._machine is None:
            return
        for action in self._machine.handle(event, time.monotonic_ns()):
            if isinstance(action, WakeAt):
                self._wakes.append(action.at_ns)
                self._arm()
            else:
                self._outbox.put_nowait(action)

    async def _carry_out(self) -> None:
        """Send what the machine asked for, in its order."""
        while True:
            action = await self._outbox.get()
            if isinstance(action, Tell):
                worker = self._workers.get(action.worker)
                if worker is not None:
                    await self.bus.send(worker, action.message)
            elif isinstance(action, Announce):
                await self.bus.publish(action.message)

    @on_cleanup
    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.close()
        if self._board is not None:
            self._board.close()
