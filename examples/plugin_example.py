"""A coordinator, a notification plugin, a worker, five model tests, and the worker's loss.

Everything runs: the worker is a process of this machine, each test a process of its own. The first
one asks for more memory than it was granted. In the end the worker's process is stopped, as if its
machine hung; the coordinator notices that it is silent.

    python examples/plugin_example.py [--directory DIRECTORY]
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from steelyard.dialects.distributed_testing.coordinator import DistributedTestingCoordinator
from steelyard.dialects.distributed_testing.plugin_architecture import PluginType

HERE = Path(__file__).parent
WORKER = "worker-001"
CAPABILITIES = {
    "hardware_type": "gpu", "cpu_cores": 8, "memory_gb": 16, "gpu_memory_gb": 8,
    "supports_cuda": True, "supports_webgpu": True, "supports_webnn": True,
}  # fmt: skip
LAYERS = {
    "task-1": (60_000, 20_000), "task-2": (256, 256), "task-3": (1024, 512),
    "task-4": (2048, 1024), "task-5": (4096, 1024),
}  # fmt: skip

logger = logging.getLogger(__name__)


async def run_tasks(coordinator):
    """Have the tests run, one after the other."""
    for task_id, (inputs, outputs) in LAYERS.items():
        await coordinator.create_task(
            task_id,
            "model_test",
            {
                "function": "model_test:run", "path": [str(HERE)],
                "kwargs": {"inputs": inputs, "outputs": outputs},
            },
            requirements={"memory_gb": 1, "supports_cuda": True},
        )  # fmt: skip
        tasks = await coordinator.wait_for_tasks([task_id])
        outcome = tasks[task_id].outcome
        logger.info("Result of %s: %s", task_id, outcome.result or outcome.error)


async def lose_worker(coordinator):
    """Stop the worker's process, and wait until that was noticed."""
    process = coordinator.workers.pid(WORKER)
    os.kill(process, signal.SIGSTOP)
    async for event in coordinator.fleet.follow(0):
        if event.name == "worker_disconnected":
            break
    await coordinator.fleet.hooks_settled()
    os.kill(process, signal.SIGKILL)


def summarize(plugin):
    """Log what was notified."""
    logger.info("Notification Summary:")
    logger.info("Total notifications: %d", len(plugin.notifications))
    for level, count in plugin.levels():
        logger.info("  %s: %d", level, count)
    logger.info("Last 3 notifications:")
    for level, text in plugin.notifications[-3:]:
        logger.info("  [%s] %s", level, text)


async def run(directory):
    """Run the example with its database in `directory`."""
    coordinator = DistributedTestingCoordinator(
        db_path=str(directory / "benchmark_db.duckdb"),
        enable_plugins=True,
        plugin_dirs=[HERE / "plugins"],
    )
    logger.info("Starting coordinator...")
    await coordinator.start()
    try:
        manager = coordinator.plugin_manager
        logger.info("Discovered plugins: %s", await manager.discover_plugins())
        ((plugin_id, plugin),) = manager.get_plugins_by_type(PluginType.NOTIFICATION).items()
        logger.info("Loaded notification plugin: %s", plugin_id)
        await coordinator.register_worker(WORKER, CAPABILITIES)
        await run_tasks(coordinator)
        await lose_worker(coordinator)
        summarize(plugin)
    finally:
        logger.info("Shutting down coordinator...")
        await coordinator.stop()
    logger.info("Demo completed successfully")


def main():
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", help="where the database lies; a temporary one if not given")
    given = parser.parse_args().directory
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    )
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(run(Path(given or temporary)))


if __name__ == "__main__":
    main()
