"""The coordinator by its other names: plugins, workers registered by hand, tasks of any type."""

import asyncio

import pytest

from steelyard.app.fleet.errors import RefusedError, UnknownTaskError, UnknownWorkerError
from steelyard.dialects.distributed_testing.coordinator import DistributedTestingCoordinator
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_coordinator import (
    SchedulerCoordinator,
)
from steelyard.dialects.distributed_testing.words import (
    capabilities_of,
    in_words,
    requirements_of,
)
from steelyard.domain.fleet.requirements import Gpu
from steelyard.kernel.errors import UsageError

CAPABILITIES = {
    "hardware_type": "gpu", "cpu_cores": 8, "memory_gb": 16, "gpu_memory_gb": 8,
    "supports_cuda": True, "supports_webgpu": True, "supports_webnn": False,
}  # fmt: skip
PLUGIN = """
from steelyard.dialects.distributed_testing.plugin_architecture import HookType, Plugin, PluginType


class Recorder(Plugin):
    def __init__(self):
        super().__init__("Recorder", "1.0.0", PluginType.MONITORING)
        self.heard = []
        self.register_hook(HookType.COORDINATOR_STARTUP, self.started)
        self.register_hook(HookType.WORKER_REGISTERED, self.registered)
        self.register_hook(HookType.TASK_CREATED, self.created)
        self.register_hook("nightly", self.nightly)

    async def initialize(self, coordinator):
        self.coordinator = coordinator
        return True

    async def shutdown(self):
        self.heard.append("shutdown")
        return True

    async def started(self, coordinator):
        self.heard.append(coordinator is self.coordinator)

    async def registered(self, worker_id, capabilities):
        self.heard.append(capabilities)

    async def created(self, task_id, task_data):
        self.heard.append((task_id, task_data["type"]))

    async def nightly(self, number):
        self.heard.append(number)
"""


def test_capabilities_go_there_and_back():
    found = capabilities_of(CAPABILITIES | {"rack": "r7"})
    assert found.gpus == (Gpu(memory_gb=8.0),)
    assert found.accelerators == ("cuda", "webgpu")
    assert found.labels == {"rack": "r7", "hardware_type": "gpu"}
    told = {"hardware_type": "gpu", "cpu_cores": 8, "memory_gb": 16, "gpus": [{"memory_gb": 8}]}
    assert in_words(told | {"accelerators": ["cuda", "webgpu"]}) == CAPABILITIES


def test_no_gpu_memory_is_no_gpu():
    """A worker is told to plugins as one with 0 GB where it has no GPU; that goes back as well."""
    told = {"hardware_type": "cpu", "cpu_cores": 8, "memory_gb": 16, "gpus": []}
    words = in_words(told | {"accelerators": []})
    assert words["gpu_memory_gb"] == 0
    assert capabilities_of(words).gpus == ()
    assert requirements_of({"gpu_memory_gb": 0}).gpus == 0


def test_a_gpu_has_the_model_that_is_said():
    found = capabilities_of({"gpu_memory_gb": 141, "gpu_model": "H200"})
    assert found.gpus == (Gpu(model="H200", memory_gb=141.0),)
    assert "gpu_model" not in found.labels


def test_requirements_are_in_the_words_of_capabilities():
    found = requirements_of({"gpu_memory_gb": 4, "supports_cuda": True, "hardware_type": "gpu"})
    assert (found.gpus, found.gpu_memory_gb, found.accelerators) == (1, 4.0, ("cuda",))
    assert found.labels == {"hardware_type": "gpu"}


@pytest.mark.parametrize("wrong", [{"memory": 3}, {"memory_gb": "much"}, {"gpu_memory_gb": "much"}])
def test_a_wrong_word_is_named(wrong):
    with pytest.raises(UsageError, match="memory"):
        capabilities_of(wrong)


@pytest.fixture
async def coordinator(tmp_path):
    plugins = tmp_path / "custom_plugins"
    plugins.mkdir()
    (plugins / "recorder.py").write_text(PLUGIN)
    made = DistributedTestingCoordinator(
        db_path=tmp_path / "benchmark_db.duckdb",
        enable_plugins=True,
        plugin_dirs=[tmp_path / "plugins", plugins],
    )
    await made.start()
    yield made
    await made.stop()


async def test_tasks_run_on_workers_that_are_registered_by_hand(coordinator, tmp_path):
    recorder = coordinator.plugin_manager.get_plugin("Recorder-1.0.0")
    await coordinator.register_worker("worker-001", CAPABILITIES, slots=2)
    task_id = await coordinator.create_task(
        "task-1", "model_test", {"argv": ["/bin/echo", "hello"]},
        requirements={"supports_cuda": True, "memory_gb": 1, "hardware_type": "gpu"},
    )  # fmt: skip
    tasks = await coordinator.wait_for_tasks([task_id])
    assert tasks["task-1"].outcome.error == ""
    assert tasks["task-1"].outcome.result["stdout"] == "hello\n"
    assert tasks["task-1"].worker_id == ""
    assert coordinator.workers.logs("task-1", "worker-001")["stdout"] == "hello\n"
    await coordinator.fire("nightly", number=7)
    await coordinator.fleet.hooks_settled()
    assert recorder.heard == [True, CAPABILITIES, ("task-1", "model_test"), 7]
    assert (tmp_path / "benchmark_db.ledger.sqlite").exists()
    await coordinator.stop()
    assert recorder.heard[-1] == "shutdown"


async def test_a_worker_that_is_let_go_gives_back_what_it_was_at(coordinator):
    await coordinator.register_worker("worker-001", CAPABILITIES)
    await coordinator.create_task("task-1", "soak", {"shell": "test -e ../../done || sleep 60"})
    while (await coordinator.get_task("task-1")).state != "running":
        await asyncio.sleep(0.02)
    await coordinator.unregister_worker("worker-001")
    assert coordinator.workers.pid("worker-001") == 0
    task = await coordinator.get_task("task-1")
    assert (task.state, task.losses) == ("pending", 0)
    with pytest.raises(UnknownWorkerError):
        await coordinator.unregister_worker("worker-002")
    await coordinator.cancel_task("task-1")
    assert (await coordinator.wait_for_tasks(["task-1"]))["task-1"].state == "cancelled"
    with pytest.raises(UnknownTaskError):
        await coordinator.get_task("task-2")


async def test_what_cannot_be_taken_says_why(coordinator):
    with pytest.raises(RefusedError, match="there is no task kind 'model_test'"):
        await coordinator.create_task("task-1", "model_test", {"model": "bert"})
    await coordinator.register_worker("worker-001", CAPABILITIES)
    with pytest.raises(UsageError, match="There is a worker of that name"):
        await coordinator.register_worker("worker-001", CAPABILITIES)
    with pytest.raises(UsageError, match="no name of a worker"):
        await coordinator.register_worker("../worker", CAPABILITIES)


async def test_without_plugins_there_is_no_manager(tmp_path):
    made = DistributedTestingCoordinator(str(tmp_path / "fleet.sqlite"), enable_plugins=False)
    assert made.plugin_manager is None
    await made.start()
    await made.register_worker("w", {})
    await made.create_task("t", "any", {"argv": ["/bin/true"]})
    assert (await made.wait_for_tasks(["t"]))["t"].state == "completed"
    await made.stop()


SCHEDULER = """
from steelyard.dialects.distributed_testing.plugins.scheduler.base_scheduler_plugin import (
    BaseSchedulerPlugin,
)
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_interface import (
    SchedulingStrategy,
)


class LastByName(BaseSchedulerPlugin):
    def __init__(self):
        super().__init__(
            name="LastByName", version="1.0.0", description="the last worker by name",
            strategies=[SchedulingStrategy.CUSTOM],
        )

    async def schedule_task(self, task_id, task_data, available_workers, worker_load):
        return max(available_workers) if available_workers else None
"""


async def test_a_scheduler_of_the_plugin_directory_takes_over_while_it_runs(tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "recorder.py").write_text(PLUGIN)
    (plugins / "last.py").write_text(SCHEDULER)
    made = DistributedTestingCoordinator(tmp_path / "fleet.sqlite", True, [plugins])
    await made.start()
    recorder = made.plugin_manager.get_plugin("Recorder-1.0.0")
    schedulers = SchedulerCoordinator(made)
    assert "LastByName" in schedulers.get_available_plugins()
    assert await schedulers.activate_scheduler("LastByName")
    for name in ("a", "b", "c"):
        await made.register_worker(name, CAPABILITIES)
    await made.create_task("t", "any", {"argv": ["/bin/true"]})
    await made.wait_for_tasks(["t"])
    (attempt,) = await made.fleet.attempts("t")
    assert attempt.worker_id == "c"
    assert await schedulers.activate_scheduler("FairnessScheduler", {"enable_quotas": True})
    assert schedulers.get_metrics()["fairness"]["active_users"] >= 0
    assert [s.name for s in made.fleet.schedulers() if s.active] == ["fair_share"]
    await made.stop()
    assert recorder.heard.count(("t", "any")) == 1, "a plugin is told once"
