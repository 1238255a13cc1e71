"""Schedulers are listed, activated, changed and measured as document 003 shows it."""

from types import SimpleNamespace

import pytest

from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_coordinator import (
    SchedulerCoordinator,
)
from steelyard.dialects.distributed_testing.plugins.scheduler.scheduler_plugin_interface import (
    SchedulingStrategy,
)

WORKERS = {
    "worker-1": {"hardware_type": "gpu", "gpu_memory_gb": 16, "supports_cuda": True, "slots": 4},
    "worker-2": {"hardware_type": "cpu", "cpu_cores": 16, "memory_gb": 64, "slots": 4},
}
FREE = {"worker-1": 0, "worker-2": 0}


class Coordinator:
    """Takes note of what it is told to use."""

    def __init__(self):
        self.used = []

    async def use_scheduler(self, name, options):
        self.used.append((name, options))

    def metrics(self):
        return SimpleNamespace(scheduler_metrics={"fairness": {"active_users": 7}})


async def test_the_usage_example_lists_activates_sets_and_measures():
    scheduler_coordinator = SchedulerCoordinator(None)
    await scheduler_coordinator.initialize()
    available_plugins = scheduler_coordinator.get_available_plugins()
    assert {"FairnessScheduler", "CustomScheduler"} <= set(available_plugins)
    activated = await scheduler_coordinator.activate_scheduler(
        "FairnessScheduler",
        {"fairness_window_hours": 24, "enable_quotas": True, "max_consecutive_same_user": 5},
    )
    assert activated is True
    assert await scheduler_coordinator.set_strategy("fair_share") is True
    for number, user in enumerate(("ann", "ann", "bob")):
        task = {"type": "model_test", "user": user, "project": "p"}
        assert await scheduler_coordinator.schedule_task(f"t{number}", task, WORKERS, FREE)
    metrics = scheduler_coordinator.get_metrics()
    told = (
        f"Active users: {metrics['fairness']['active_users']}\n"
        f"Active projects: {metrics['fairness']['active_projects']}\n"
        f"Fairness score: {metrics['fairness'].get('fairness_score', 0.0):.2f}\n"
    )
    # Ann holds two tasks of 60 expected seconds, Bob one: (2 + 1)^2 / (2 * (4 + 1)).
    assert told == "Active users: 2\nActive projects: 1\nFairness score: 0.90\n"


async def test_a_switch_reaches_the_coordinator_with_its_options():
    coordinator = Coordinator()
    chooser = SchedulerCoordinator(coordinator)
    await chooser.initialize()
    await chooser.activate_scheduler("CustomScheduler", {"ageing_s": 30})
    await chooser.set_strategy(SchedulingStrategy.DEADLINE_DRIVEN)
    assert coordinator.used == [
        ("round_robin", {}),
        ("custom", {"ageing_s": 30}),
        ("custom", {"ageing_s": 30, "strategy": "deadline_driven"}),
    ]
    assert chooser.active == "CustomScheduler"
    metrics = chooser.get_metrics()
    assert metrics == {"active_scheduler": "CustomScheduler", "fairness": {"active_users": 7}}


@pytest.mark.parametrize("strategy", list(SchedulingStrategy))
async def test_each_strategy_names_a_scheduler_that_has_it(strategy):
    chooser = SchedulerCoordinator()
    assert await chooser.activate_scheduler(strategy.value)
    assert await chooser.set_strategy(strategy)
    assert chooser.get_metrics()["strategy"] == strategy.value
    task = {"type": "model_test", "requirements": {"gpus": 1, "accelerators": ["cuda"]}}
    assert await chooser.schedule_task("t", task, WORKERS, FREE) == "worker-1"


async def test_what_cannot_be_used_is_false_and_a_line_in_the_log(caplog):
    chooser = SchedulerCoordinator()
    assert await chooser.set_strategy("fair_share") is False
    assert await chooser.activate_scheduler("FairnesScheduler") is False
    assert await chooser.activate_scheduler("FairnessScheduler", {"enable_quota": True}) is False
    assert chooser.active is None
    assert chooser.get_metrics() == {}
    assert await chooser.activate_scheduler("FairnessScheduler")
    assert await chooser.set_strategy("round_robin") is False
    assert "FairnessScheduler has no strategy 'round_robin'; it has fair_share" in caplog.text
    assert "Did you mean 'round_robin'" not in caplog.text
    assert "enable_quota" in caplog.text


async def test_an_authors_scheduler_in_a_directory_is_found_and_used(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from steelyard.dialects.distributed_testing.plugins.scheduler.base_scheduler_plugin "
        "import BaseSchedulerPlugin\n"
        "class LastScheduler(BaseSchedulerPlugin):\n"
        "    def __init__(self):\n"
        "        super().__init__('LastScheduler', '1.0.0', 'The last worker')\n"
        "    async def schedule_task(self, task_id, task_data, available_workers, worker_load):\n"
        "        return max(available_workers)\n"
    )
    chooser = SchedulerCoordinator(plugin_dirs=[tmp_path])
    assert "LastScheduler" in chooser.get_available_plugins()
    assert await chooser.activate_scheduler("LastScheduler", {"max_tasks_per_worker": 2})
    assert await chooser.schedule_task("t", {"type": "model_test"}, WORKERS, FREE) == "worker-2"
    full = {"worker-1": 0, "worker-2": 2}
    assert await chooser.schedule_task("u", {"type": "model_test"}, WORKERS, full) == "worker-1"


async def test_facts_of_a_worker_that_are_no_capabilities_hold_nothing_up():
    """What a worker has and what a task needs are in the words of registrations."""
    chooser = SchedulerCoordinator()
    await chooser.initialize()
    workers = {name: {**facts, "last_seen": 17.5, "rack": 3} for name, facts in WORKERS.items()}
    for needs in ({"gpu_memory_gb": 8, "supports_cuda": True}, {"hardware_type": "gpu"}):
        task = {"type": "model_test", "requirements": needs}
        assert await chooser.schedule_task("t", task, workers, FREE) == "worker-1"
    on_the_rack = {"type": "model_test", "requirements": {"labels": {"rack": "4"}}}
    assert await chooser.schedule_task("t", on_the_rack, workers, FREE) is None
