"""The role that keeps the records: from the bus into the journal, each batch once."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from steelyard.domain.bench.live_window import LiveWindow
from steelyard.domain.bench.messages import (
    ConfigureRun,
    FlushRecords,
    LiveStats,
    RecordBatch,
    RecordBatchAck,
    RecordsFlushed,
    WorkerFacts,
    WorkerSketch,
)
from steelyard.domain.bench.record_codec import SeenBatches
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.kernel.errors import UsageError
from steelyard.runtime.journal import FsyncPolicy, JournalWriter, journal_directory
from steelyard.runtime.service import (
    Service,
    ServiceContext,
    on_cleanup,
    on_configure,
    on_message,
    on_start,
    on_stop,
)

STREAM_ID = "records"
FACTS_EVENT = "bench.worker.facts"
SKETCH_EVENT = "bench.worker.sketch"
CLOSED_EVENT = "bench.records.closed"
LIVE_INTERVAL_S = 0.5
WORKER_TYPE = "worker"


class RecordsPlan(msgspec.Struct, frozen=True):
    """The part of a plan that matters here; `journal_fsync` may stand among its options."""

    run_id: str
    artifact_dir: str
    options: dict[str, Any] = {}


class RecordsManager(Service):
    """Appends record batches to the journal's stream `records` and acknowledges them.

    A batch is acknowledged after it was appended (so it survives this process) and, when the
    plan's option `journal_fsync` is `always`, after it reached the disk; a second copy is
    acknowledged again and not appended. An append that fails makes the service fail: what was
    acknowledged is in the journal, and the worker still holds the rest.
    """

    service_type: ClassVar[str] = "records_manager"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        self._journal: JournalWriter | None = None
        self._seen = SeenBatches()
        self._live = LiveWindow(context.clock.mono_ns())
        self._live_task: asyncio.Task[None] | None = None
        self._batches = 0
        self._rows = 0
        self._fsync: FsyncPolicy = "interval"
        self._closed = False

    @on_configure
    async def open_journal(self, message: ConfigureRun) -> None:
        """Open the stream below the run's artifact directory.

        Raises:
            UsageError: the option `journal_fsync` is not a policy.
            JournalError: the journal can't be written.
        """
        plan = msgspec.convert(message.plan, RecordsPlan)
        self._fsync = _policy(plan.options.get("journal_fsync", "interval"))
        self._journal = JournalWriter(
            journal_directory(Path(plan.artifact_dir)),
            STREAM_ID,
            run_id=plan.run_id,
            clock=self.context.clock,
            fsync=self._fsync,
        )

    @on_start
    async def begin(self) -> None:
        """Begin to publish live figures."""
        self._live = LiveWindow(self.context.clock.mono_ns())
        self._live_task = self.spawn(self._publish_live(), name="live stats")

    @on_message(RecordBatch)
    async def take(self, batch: RecordBatch) -> None:
        """Append a worker's batch unless it is in already, and acknowledge it."""
        if self._closed:
            # No receipt: what is not in the journal must not pass for kept.
            self.log.warning(
                lambda: (
                    f"{batch.rows} records of worker {batch.worker} came after the journal "
                    "was closed"
                )
            )
            return
        journal = self._open()
        if batch not in self._seen:
            if self._fsync == "always":
                # The disk may take longer than a response: not on the event loop.
                await asyncio.to_thread(journal.records, batch)
            else:
                journal.records(batch)
            self._batches += 1
            self._rows += batch.rows
            self._live.add(np.frombuffer(batch.data, RECORD_DTYPE), self.context.clock.mono_ns())
        self._seen.add(batch)
        worker = self._worker_id(batch.worker)
        if worker is None:
            self.log.warning(lambda: f"worker {batch.worker} sent records, but is no peer of ours")
            return
        ack = RecordBatchAck(worker=batch.worker, epoch=batch.epoch, batch_seq=batch.batch_seq)
        await self.bus.send(worker, ack)

    @on_message(WorkerFacts)
    async def note_facts(self, facts: WorkerFacts) -> None:
        """Journal what a worker says about itself; the verdict is made of it.

        All roles are stopped at once, so a worker's last word may come after our end.
        """
        if self._closed:
            return
        self._open().event(FACTS_EVENT, msgspec.to_builtins(facts))

    @on_message(WorkerSketch)
    async def note_sketch(self, told: WorkerSketch) -> None:
        """Journal what a worker elsewhere counted itself; the report holds it to the records."""
        if not self._closed:
            self._open().event(SKETCH_EVENT, msgspec.to_builtins(told))

    @on_message(FlushRecords)
    async def flush(self, _: FlushRecords) -> RecordsFlushed:
        """Make everything that was acknowledged durable, then answer; the last figures go first."""
        await self.bus.publish(self.live_stats())
        await asyncio.to_thread(self._open().sync)
        return self._totals()

    @on_stop
    async def finish(self) -> None:
        """Write the totals behind the last batch, and make all of it durable."""
        journal = self._journal
        if journal is None:
            return  # stopped before it was configured: nothing came
        journal.event(CLOSED_EVENT, msgspec.to_builtins(self._totals()))
        await asyncio.to_thread(journal.sync)

    @on_cleanup
    async def close_journal(self) -> None:
        """Let go of the file; what was appended is in it whatever happened."""
        self._closed = True
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)

    async def _publish_live(self) -> None:
        told = -1
        while True:
            await asyncio.sleep(LIVE_INTERVAL_S)
            if self._live.records != told:
                told = self._live.records
                await self.bus.publish(self.live_stats())

    def live_stats(self) -> LiveStats:
        """Return how the run goes as of now."""
        return self._live.stats(self.context.clock.mono_ns(), self._seen.duplicates)

    def _worker_id(self, worker: int) -> str | None:
        for peer in self.context.peers_of(WORKER_TYPE):
            if peer.index == worker:
                return peer.service_id
        return None

    def _totals(self) -> RecordsFlushed:
        return RecordsFlushed(
            batches=self._batches, rows=self._rows, duplicates=self._seen.duplicates
        )

    def _open(self) -> JournalWriter:
        if self._journal is None:
            message = "records came before the plan"
            raise RuntimeError(message)
        return self._journal


def _policy(value: object) -> FsyncPolicy:
    if value in ("always", "interval", "never"):
        return value
    raise UsageError(
        "Unknown option journal_fsync", got=value, expected="always, interval or never"
    )
