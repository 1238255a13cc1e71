"""The worker's life before its first request."""

from pathlib import Path

import msgspec

from steelyard.builtin.service.worker import Worker
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.messages import ConfigureRun, DatasetProgress
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.dataset_store import DatasetStoreWriter
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.service import ServiceContext


async def test_entries_may_be_ready_before_the_worker_is_configured(tmp_path: Path) -> None:
    """A fast dataset manager is heard first; the worker keeps the news and goes on."""
    hub = InlineHub()
    controller = hub.connect("controller", "system_controller")
    port = hub.connect("worker_1", "worker")
    host = PluginHost.standard()
    worker = Worker(
        ServiceContext(service_id="worker_1", bus=port, clock=SystemClock(), given_host=host)
    )
    await worker.initialize()
    await worker.run()
    store = tmp_path / "dataset"
    with DatasetStoreWriter(store) as writer:
        writer.append(Conversation(id="a", turns=(Turn(text="hi"),)))
    board = Board(board_path(tmp_path), 1, create=True)
    await controller.publish(DatasetProgress(path=str(store), ready=1, complete=True))
    plan = Plan(
        run_id="r",
        models=("m",),
        endpoint=EndpointPlan(),
        phases=(PhasePlan(name="profiling", concurrency=1, request_count=1),),
        artifact_dir=str(tmp_path),
        run_type="inline",
    )
    configure = ConfigureRun(msgspec.to_builtins(plan))
    await controller.command("worker_1", configure, timeout_s=60)
    assert worker.failure is None
    await worker.start()
    await worker.stop()
    await worker.cleanup()
    board.close()
    await hub.close()
