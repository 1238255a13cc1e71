"""Role `worker` on another machine: the same worker, with its own directory, clock and data set.

What it sends, when and to whom is decided by the same code as in a worker beside the controller.
Different is only what it has around it: the plan's paths are moved to its scratch directory, the
data set is copied there piece by piece, secrets that it lacks are asked for over the bus, and its
clock is compared with the controller's all the time. Times of messages are moved by the border of
its bus (`domain.bench.clock_border`), not here.
"""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import numpy as np

from steelyard.app.composition import standard_host
from steelyard.builtin.service.worker import Worker
from steelyard.domain.bench.clock_offset import ClockExchange
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.hosts import add_latencies
from steelyard.domain.bench.join_messages import (
    AskSecrets,
    ClockAnswer,
    ClockAsk,
    DatasetBytes,
    ReadDataset,
    Secrets,
)
from steelyard.domain.bench.messages import (
    ConfigureRun,
    DatasetProgress,
    HandOverRecords,
    RecordBatch,
    WorkerSketch,
)
from steelyard.domain.bench.plan import SCHEDULE_FILE, PhasePlan, Plan
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.domain.bench.sketch import Sketch
from steelyard.kernel.errors import EndpointUnreachableError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.bus_port import BusError, CommandFailedError, CommandTimeoutError
from steelyard.runtime.dataset_mirror import DatasetMirror
from steelyard.runtime.remote_role import RemoteContext
from steelyard.runtime.service import ServiceContext, on_configure, on_init, on_message

FIRST_EXCHANGES = 24
"""Before anything is sent: the shortest of them bounds the offset by half of its round trip."""
EXCHANGES_AT_ONCE = 3
EXCHANGE_EVERY_S = 0.5
FIRST_TIMEOUT_S = 10.0
ASK_TIMEOUT_S = 2.0
SILENCE_MAX_S = 15.0
"""A controller that is silent for so long is gone, and so is the run."""
DATASET_TIMEOUT_S = 30.0


class RemoteWorker(Worker):
    """A worker whose controller is on another machine."""

    service_type = "worker"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        if not isinstance(context, RemoteContext) or context.run_dir is None:
            message = "a remote worker needs a RemoteContext with a directory"
            raise TypeError(message)
        self._border = context.border
        self._scratch = context.run_dir
        self._mirror = DatasetMirror(self._scratch / Path(SCHEDULE_FILE).parent, self._ask_data)
        self._has_data = asyncio.Event()
        self._needs_all = False
        self._sketch = Sketch()
        self._rows = 0
        self._answered_ns = time.monotonic_ns()

    # --- the clock ------------------------------------------------------------------------------

    @on_init
    async def _compare_clocks(self) -> None:
        """Learn the offset, and keep comparing from then on."""
        for _ in range(FIRST_EXCHANGES):
            await self._exchange(FIRST_TIMEOUT_S)
        self._border.estimate.settle()
        self.spawn(self._keep_comparing(), "clock")

    async def _exchange(self, timeout_s: float) -> None:
        asked_ns = time.monotonic_ns()
        answer = await self.bus.command(self.context.controller_id, ClockAsk(), timeout_s=timeout_s)
        back_ns = time.monotonic_ns()
        if isinstance(answer, ClockAnswer):
            self._answered_ns = back_ns
            self._border.estimate.add(
                ClockExchange(asked_ns, answer.heard_ns, answer.answered_ns, back_ns)
            )

    async def _keep_comparing(self) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_EVERY_S)
            try:
                for _ in range(EXCHANGES_AT_ONCE):
                    await self._exchange(ASK_TIMEOUT_S)
            except (CommandTimeoutError, CommandFailedError, BusError) as error:
                silence_s = (time.monotonic_ns() - self._answered_ns) / NS_PER_S
                if silence_s > SILENCE_MAX_S:
                    raise EndpointUnreachableError(
                        f"The run's controller has not answered for {silence_s:.0f} s",
                        next_step="It is gone, or the network is; nothing more is sent.",
                    ) from error

    # --- the plan -------------------------------------------------------------------------------

    @on_configure
    async def _build(self, message: ConfigureRun) -> None:
        """Put the engine together, as any worker, from a plan that fits this machine."""
        plan = msgspec.convert(message.plan, Plan)
        self._needs_all = any(phase.fixed_schedule for phase in plan.phases)
        await self._take_secrets(plan)
        self.context.given_host = standard_host(tuple(plan.options.get("plugin_dirs", ())))
        here = _moved(plan, self._scratch)
        await super()._build(ConfigureRun(msgspec.to_builtins(here)))

    async def _take_secrets(self, plan: Plan) -> None:
        """Ask for what the plan names and this machine has not; what it has is its own to say."""
        named = [name for _, value in plan.endpoint.headers for name in variables_in(value)]
        if plan.endpoint.api_key_env:
            named.append(plan.endpoint.api_key_env)
        missing = tuple(name for name in dict.fromkeys(named) if name not in os.environ)
        if not missing:
            return
        answer = await self.bus.command(
            self.context.controller_id, AskSecrets(missing), timeout_s=FIRST_TIMEOUT_S
        )
        if isinstance(answer, Secrets):
            os.environ.update(answer.values)

    # --- the data set ---------------------------------------------------------------------------

    async def _ask_data(self, name: str, offset: int) -> bytes:
        answer = await self.bus.command(
            "dataset_manager", ReadDataset(name=name, offset=offset), timeout_s=DATASET_TIMEOUT_S
        )
        return answer.data if isinstance(answer, DatasetBytes) else b""

    @on_message(DatasetProgress)
    async def _dataset(self, message: DatasetProgress) -> None:
        """Copy what is new, then read it as from the store itself."""
        if message.error or not message.ready:
            self._has_data.set()
            await super()._dataset(message)
            return
        try:
            await self._mirror.follow(complete=message.complete)
        except CommandFailedError:
            # Once all entries are copied nobody needs the dataset manager; its death is told.
            self.log.warning("the dataset manager gave no more of the data set")
            return
        here = msgspec.structs.replace(message, path=str(self._mirror.directory))
        await super()._dataset(here)
        if message.complete or not self._needs_all:
            self._has_data.set()

    # --- records --------------------------------------------------------------------------------

    def _ship(self, batch: RecordBatch) -> None:
        """Count what leaves, a batch at a time: the report compares it with what arrived."""
        rows = np.frombuffer(batch.data, RECORD_DTYPE)
        self._rows += batch.rows
        add_latencies(self._sketch, rows)
        super()._ship(batch)

    @on_message(HandOverRecords)
    async def _hand_over(self, message: HandOverRecords) -> None:
        """Hand over, as any worker, and then tell what was counted."""
        told = self._handed_over
        await super()._hand_over(message)
        if not told:
            sketch = self._sketch.encode()
            await self.bus.send(
                "records_manager",
                WorkerSketch(worker=self._number, rows=self._rows, sketch=sketch),
            )

    # --- the beginning --------------------------------------------------------------------------

    def _say_ready(self) -> None:
        """Take leases only when there is something to send."""
        self.spawn(self._say_ready_with_data(), "ready")

    async def _say_ready_with_data(self) -> None:
        await self._has_data.wait()
        super()._say_ready()


def _moved(plan: Plan, scratch: Path) -> Plan:
    """Return the plan with what lies in the run's directory looked for in `scratch`."""
    schedule = str(Path(plan.artifact_dir) / SCHEDULE_FILE)

    def phase_here(phase: PhasePlan) -> PhasePlan:
        if phase.options.get("path") != schedule:
            return phase
        options = {**phase.options, "path": str(scratch / SCHEDULE_FILE)}
        return msgspec.structs.replace(phase, options=options)

    return msgspec.structs.replace(
        plan,
        artifact_dir=str(scratch),
        phases=tuple(phase_here(phase) for phase in plan.phases),
    )
