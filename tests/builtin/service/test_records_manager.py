import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from steelyard.builtin.service import records_manager
from steelyard.builtin.service.records_manager import (
    CLOSED_EVENT,
    FACTS_EVENT,
    SKETCH_EVENT,
    RecordsManager,
)
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
from steelyard.domain.bench.records import empty_batch
from steelyard.domain.bench.sketch import Sketch
from steelyard.kernel.errors import JournalError, UsageError
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal import JournalReader, journal_directory
from steelyard.runtime.service import Peer, ServiceContext

pytestmark = pytest.mark.real_time


def make_batch(batch_seq: int, worker: int = 0, rows: int = 4) -> RecordBatch:
    data = empty_batch(rows)
    data["schedule_index"] = np.arange(rows) + 100 * batch_seq
    data["start_ns"], data["first_token_ns"], data["end_ns"] = 0, 2_000_000, 5_000_000
    return RecordBatch(
        worker=worker, epoch=1, batch_seq=batch_seq, rows=rows, data=data.tobytes(), messages={}
    )


def make_facts() -> WorkerFacts:
    return WorkerFacts(
        worker=0, mono_ns=5, wall_offset_ns=6, cpu_s=0.1, span_s=0.2, send_lag_p99_ns=7,
        send_lag_max_ns=8, clock_steps=0,
    )  # fmt: skip


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.001)


@dataclasses.dataclass
class Bench:
    """A records manager on an inline bus, with a worker and a controller that write down."""

    manager: RecordsManager
    acks: list[RecordBatchAck]
    live: list[LiveStats]
    directory: object
    worker: Any = None
    controller: Any = None

    async def flushed(self) -> RecordsFlushed:
        return await self.controller.command("records", FlushRecords(), timeout_s=60)

    async def acked(self, count: int) -> list[int]:
        await until(lambda: len(self.acks) >= count)
        return [ack.batch_seq for ack in self.acks]


@pytest.fixture
async def bench(tmp_path, request):
    hub = InlineHub()
    acks: list[RecordBatchAck] = []
    live: list[LiveStats] = []
    worker, controller = hub.connect("worker_a", "worker"), hub.connect("main", "controller")

    async def on_ack(ack: RecordBatchAck) -> None:
        acks.append(ack)

    async def on_live(stats: LiveStats) -> None:
        live.append(stats)

    worker.subscribe(RecordBatchAck, on_ack)
    controller.subscribe(LiveStats, on_live)
    context = ServiceContext(
        service_id="records",
        bus=hub.connect("records", "records_manager"),
        clock=SystemClock(),
        peers=(Peer("worker_a", "worker", 0),),
    )
    manager = RecordsManager(context)
    await manager.initialize()
    await manager.run()
    options = {"journal_fsync": getattr(request, "param", "interval")}
    await manager.configure(
        ConfigureRun({"run_id": "r", "artifact_dir": str(tmp_path), "options": options})
    )
    await manager.start()
    bench = Bench(manager, acks, live, journal_directory(tmp_path))
    bench.worker, bench.controller = worker, controller
    yield bench
    if manager.state == "running":
        await manager.stop()
    if manager.state != "closed":
        await manager.cleanup()
    await hub.close()


@pytest.mark.parametrize("bench", ["always", "interval", "never"], indirect=True)
async def test_batches_are_in_the_journal_when_they_are_acknowledged(bench):
    for seq in range(5):
        await bench.worker.send("records_manager", make_batch(seq))
    assert await bench.acked(5) == [0, 1, 2, 3, 4]
    read = list(JournalReader(bench.directory).record_batches())
    assert read == [make_batch(seq) for seq in range(5)]
    assert await bench.flushed() == RecordsFlushed(batches=5, rows=20, duplicates=0)


async def test_a_second_copy_is_acknowledged_and_dropped(bench):
    for seq in (0, 1, 1, 0, 2):
        await bench.worker.send("records", make_batch(seq))
    assert await bench.acked(5) == [0, 1, 1, 0, 2]
    assert await bench.flushed() == RecordsFlushed(batches=3, rows=12, duplicates=2)
    frames = list(JournalReader(bench.directory).tail("records").poll())
    assert sum(isinstance(frame, RecordBatch) for frame in frames) == 3


async def test_what_workers_say_of_themselves_is_journalled(bench):
    facts = make_facts()
    await bench.worker.send("records", facts)
    await bench.worker.send("records", make_batch(0))
    await bench.acked(1)
    events = {e.type: e.payload for e in JournalReader(bench.directory).events()}
    assert msgspec.convert(events[FACTS_EVENT], WorkerFacts) == facts


async def test_a_stop_writes_the_totals_behind_the_last_batch(bench):
    await bench.worker.send("records", make_batch(0))
    await bench.acked(1)
    await bench.manager.stop()
    await bench.manager.cleanup()
    reader = JournalReader(bench.directory)
    assert list(reader.events())[-1].type == CLOSED_EVENT
    assert list(reader.events())[-1].payload == {"batches": 1, "rows": 4, "duplicates": 0}
    assert reader.damage == []


async def test_what_a_worker_elsewhere_counted_itself_is_in_the_journal(bench):
    """A report can hold the records to it, whenever it is made."""
    sketch = Sketch()
    sketch.add(np.array([5.0, 7.0]))
    await bench.worker.send("records", WorkerSketch(worker=0, rows=2, sketch=sketch.encode()))
    await bench.worker.send("records", make_batch(0))
    await bench.acked(1)
    await bench.flushed()
    (event,) = [e for e in JournalReader(bench.directory).events() if e.type == SKETCH_EVENT]
    told = msgspec.convert(event.payload, WorkerSketch)
    assert (told.worker, told.rows) == (0, 2)
    assert Sketch.decode(told.sketch) == sketch


async def test_live_figures_are_published_while_records_come(bench, monkeypatch):
    await bench.worker.send("records", make_batch(0))
    await until(lambda: bench.live)
    stats = bench.live[-1]
    assert stats.records == 4
    assert stats.ttft_p50_ms == pytest.approx(2, rel=0.01)
    assert stats.latency_p99_ms == pytest.approx(5, rel=0.01)
    heard = len(bench.live)
    await asyncio.sleep(2.5 * records_manager.LIVE_INTERVAL_S)
    assert len(bench.live) == heard


async def test_a_batch_of_an_unknown_worker_is_kept_all_the_same(bench, caplog):
    await bench.worker.send("records", make_batch(0, worker=9))
    await bench.worker.send("records", make_batch(0))
    await bench.acked(1)
    workers = [batch.worker for batch in JournalReader(bench.directory).record_batches()]
    assert workers == [9, 0]
    assert "worker 9" in caplog.text


async def test_an_append_that_fails_fails_the_service_and_is_not_acknowledged(bench):
    bad = msgspec.structs.replace(make_batch(1), rows=99)
    await bench.worker.send("records", make_batch(0))
    await bench.worker.send("records", bad)
    assert await bench.acked(1) == [0]
    await until(lambda: bench.manager.failure)
    assert isinstance(bench.manager.failure, JournalError)
    await bench.manager.cleanup()
    assert len(bench.acks) == 1
    assert JournalReader(bench.directory).verify() == []


async def test_what_comes_after_the_end_is_left_out_and_fails_nothing(bench, caplog):
    await bench.worker.send("records", make_batch(0))
    await bench.acked(1)
    await bench.manager.stop()
    await bench.manager.cleanup()
    await bench.manager.note_facts(make_facts())  # a worker stops at the same time as we do
    await bench.manager.take(make_batch(1))
    assert bench.manager.failure is None
    assert await bench.acked(1) == [0]  # so the worker knows that batch 1 is not kept
    reader = JournalReader(bench.directory)
    assert list(reader.record_batches()) == [make_batch(0)]
    assert [event.type for event in reader.events()][-1] == CLOSED_EVENT
    assert "4 records of worker 0 came after the journal was closed" in caplog.text


async def test_an_unknown_policy_is_refused(tmp_path):
    hub = InlineHub()
    context = ServiceContext(
        service_id="records", bus=hub.connect("records", "records_manager"), clock=SystemClock()
    )
    manager = RecordsManager(context)
    await manager.initialize()
    await manager.run()
    plan = {"run_id": "r", "artifact_dir": str(tmp_path), "options": {"journal_fsync": "often"}}
    with pytest.raises(UsageError, match="journal_fsync"):
        await manager.configure(ConfigureRun(plan))
    await manager.cleanup()
    await hub.close()
