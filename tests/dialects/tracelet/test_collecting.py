"""The collector of document 004 in a real run."""

import importlib
import time
from pathlib import Path

import psutil
import pytest

from steelyard.dialects.tracelet import Experiment, start_logging, stop_logging
from steelyard.track import get_active_experiment, show

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Track below `tmp_path`, with the page's plugins in a plugin directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(EXAMPLES / "my_package"))
    monkeypatch.delenv("STEELYARD_TRACK_COLLECTORS", raising=False)


def advanced():
    return importlib.import_module("my_package.collectors").AdvancedSystemCollectorPlugin


def wait_for(experiment, name):
    """Wait until the run has that metric; each call of the page's collector takes a second."""
    until = time.monotonic() + 60
    while name not in experiment.snapshot().metrics:
        assert time.monotonic() < until
        time.sleep(0.05)


def run_with(collectors, name):
    with Experiment("first", project="demo", collectors=collectors) as experiment:
        wait_for(experiment, f"advanced_system_collector/{name}")
    return experiment.snapshot()


def test_an_instance_is_initialized_with_its_defaults_and_logged():
    """Its numbers are metrics, nested ones too; its texts are left out."""
    run = run_with([advanced()()], "network_bytes_sent_rate")
    name = "advanced_system_collector"
    assert run.metrics[f"{name}/memory_total"].last == psutil.virtual_memory().total
    assert run.metrics[f"{name}/cpu_count_logical"].last == psutil.cpu_count()
    assert not [metric for metric in run.metrics if "top_processes" in metric]
    assert not [metric for metric in run.metrics if metric.endswith("/name")]


def test_an_instance_that_a_script_initialized_is_taken_as_it_is():
    plugin = advanced()()
    plugin.initialize({"include_processes": True, "process_limit": 3, "include_network": False})
    run = run_with([plugin], "top_processes/2/cpu_percent")
    name = "advanced_system_collector"
    assert f"{name}/top_processes/3/cpu_percent" not in run.metrics
    assert f"{name}/network_bytes_sent" not in run.metrics


def test_it_is_found_by_name_with_options():
    start_logging(
        "first", "demo", collectors={"advanced_system_collector": {"include_network": False}}
    )
    wait_for(get_active_experiment(), "advanced_system_collector/swap_percent")
    stop_logging()
    shown = show("last", directory=".steelyard")
    assert "advanced_system_collector/swap_percent" in shown["metrics"]
    assert "advanced_system_collector/network_bytes_sent" not in shown["metrics"]


def test_one_that_a_lifecycle_manager_started_is_taken_too():
    """The page's manager made, configured and started it; the run asks it from then on."""
    page = importlib.import_module("page_lifecycle")
    manager = page.PluginLifecycleManager([EXAMPLES / "my_package"])
    manager.start_plugins({"advanced_system_collector": {"include_network": False}})
    run_with(manager.active_plugins, "disk_percent")
    manager.stop_all_plugins()
