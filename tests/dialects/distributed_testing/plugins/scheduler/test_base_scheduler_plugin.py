"""A scheduler is written as document 003 shows it, and schedules a real fleet's queue."""

import asyncio

import pytest
from fleet_rig import InstantEngine, MemoryLedger

from steelyard.app.fleet.replaying import replay
from steelyard.app.fleet.schedulers import make_scheduler
from steelyard.dialects.distributed_testing.plugins.scheduler.base_scheduler_plugin import (
    BaseSchedulerPlugin,
)
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_interface import (
    SchedulerPluginInterface,
    SchedulingStrategy,
)
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_registry import (
    SchedulerPluginRegistry,
)
from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import TaskSpec
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.simulation.recording import Host, Job, Recording
from steelyard.kernel.errors import PluginError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.plugin_host import PluginHost


class MyCustomScheduler(BaseSchedulerPlugin):
    """My custom scheduler implementation."""

    def __init__(self):
        super().__init__(
            name="MyCustomScheduler",
            version="1.0.0",
            description="My custom scheduler implementation",
            strategies=[SchedulingStrategy.ROUND_ROBIN, SchedulingStrategy.LOAD_BALANCED],
        )
        self.config.update({"my_custom_option": True, "another_option": 42})

    async def schedule_task(self, task_id, task_data, available_workers, worker_load):
        if available_workers:
            return min(available_workers.keys())
        return None


@pytest.fixture
def host():
    host = PluginHost()
    SchedulerPluginRegistry(host=host).register_plugin(MyCustomScheduler)
    return host


def test_the_example_has_its_options_beside_the_common_ones():
    plugin = MyCustomScheduler()
    assert plugin.config == {
        "max_tasks_per_worker": 5, "history_window_size": 100, "detailed_logging": False,
        "my_custom_option": True, "another_option": 42,
    }  # fmt: skip
    assert isinstance(plugin, SchedulerPluginInterface)
    info = plugin.get_info()
    assert info["id"] == "MyCustomScheduler-1.0.0"
    assert info["description"] == "My custom scheduler implementation"
    assert info["strategies"] == ["round_robin", "load_balanced"]


def test_a_strategy_is_set_when_it_is_one_of_its_own(host):
    plugin = MyCustomScheduler()
    assert plugin.strategy is SchedulingStrategy.ROUND_ROBIN
    assert plugin.set_strategy("load_balanced")
    assert plugin.get_metrics()["strategy"] == "load_balanced"
    assert not plugin.set_strategy(SchedulingStrategy.CUSTOM)
    made = make_scheduler(host, "MyCustomScheduler", {"strategy": "load_balanced"})
    assert made.metrics()["strategy"] == "load_balanced"
    with pytest.raises(PluginError, match="expected round_robin, load_balanced"):
        make_scheduler(host, "MyCustomScheduler", {"strategy": "custom"})


def test_the_history_of_a_type_is_a_window(host):
    plugin = MyCustomScheduler()
    plugin.configure({"history_window_size": 2})
    for seconds in (9.0, 1.0, 3.0):
        done = {"type": "model_test", "worker_id": "w", "execution_time": seconds}
        plugin.update_task_status("t", "succeeded", done)
    plugin.update_task_status("t", "failed", {})
    metrics = plugin.get_metrics()
    assert metrics["mean_seconds"] == {"model_test on w": 2.0}
    assert (metrics["tasks_completed"], metrics["tasks_failed"]) == (3, 1)


async def test_the_example_schedules_the_queue_of_a_running_fleet(host):
    """The lowest worker first, never more than five tasks at once, and what it did is told."""
    scheduler = make_scheduler(host, "MyCustomScheduler", {"max_tasks_per_worker": 5})
    engine = InstantEngine(workers=3, slots=8, behave=lambda lease, spec: None)
    ledger = MemoryLedger()

    async def listen(item):
        """Nobody listens."""

    driver = FleetDriver(
        Fleet(), ledger, scheduler, {"instant": engine}, listen, SystemClock(),
        scheduler_name="MyCustomScheduler",
    )  # fmt: skip
    running = asyncio.create_task(driver.run())
    try:
        specs = tuple(TaskSpec(task_id=f"t{n}", kind="command") for n in range(20))
        async with asyncio.timeout(60):
            while len(driver.fleet.book.workers) < 3:
                await asyncio.sleep(0.01)
            await driver.tell(Submitted(specs))
            while len(engine.submitted) < 15:
                await asyncio.sleep(0.01)
        held = {name: len(w.holds) for name, w in driver.fleet.book.workers.items()}
        assert held == {"w0": 5, "w1": 5, "w2": 5}
        assert [lease.worker_id for lease in engine.submitted[:5]] == ["w0"] * 5
        reasons = {decision.reasons for decision in ledger.decisions}
        assert ("Scheduler MyCustomScheduler chose worker w0, of 3 that fit.",) in reasons
        assert scheduler.metrics()["queued"] == 5
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        scheduler.close()


def test_a_recorded_queue_is_played_under_the_example_too(host):
    """Twelve tasks of a second on two workers of six slots: it fills the lowest up to its five."""
    workers = tuple(
        Host(worker_id=name, capabilities=Capabilities(cpu_cores=8), slots=6) for name in "ab"
    )
    jobs = tuple(Job(spec=TaskSpec(task_id=f"t{n}", kind="command")) for n in range(12))
    (played,) = replay(Recording(hosts=workers, jobs=jobs), ["MyCustomScheduler"], host)
    assert (played.scheduler, played.unserved) == ("MyCustomScheduler", 0)
    assert played.objectives["makespan_s"] == 2.0
