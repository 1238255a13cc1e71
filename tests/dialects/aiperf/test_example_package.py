"""The code examples of document 000, over the example package, found as an installed one is."""

import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec import Struct

from steelyard.dialects.aiperf.common.enums import CreditPhase
from steelyard.dialects.aiperf.plugin import plugin_registry
from steelyard.dialects.aiperf.timing.phase_orchestrator import PhaseOrchestrator
from steelyard.domain.bench.processing import ProcessingResult as CoreProcessingResult

PACKAGE = Path(__file__).parents[3] / "examples" / "aiperf-example-plugin"


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Install the package, in effect: its sources and its entry point are on the path."""
    info = tmp_path / "site" / "aiperf_example_plugin-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: aiperf-example-plugin\nVersion: 1.0.0\n")
    entry = re.search(r'"(\w+ = aiperf_example_plugin:__version__)"', _text("setup.py"))
    assert entry is not None
    (info / "entry_points.txt").write_text(f"[steelyard.plugins]\n{entry[1]}\n")
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return importlib.import_module("aiperf_example_plugin")


def _text(name):
    return (PACKAGE / name).read_text()


@pytest.fixture
def stats() -> Any:
    return SimpleNamespace(
        sent=100, completed=100, cancelled=0, in_flight=0, sessions=1,
        start_ns=0, sent_end_ns=5 * 10**9, end_ns=7 * 10**9,
    )  # fmt: skip


def test_installed_hooks_are_found_and_made(tmp_path):
    """Listed beside our own, made with options."""
    hooks = plugin_registry.list_implementations("phase_hook")
    assert {"logging", "example_logging_hook", "example_metrics_collector_hook"} <= set(hooks)
    hook = plugin_registry.create_instance(
        "phase_hook",
        "example_logging_hook",
        log_file=str(tmp_path / "phases.log"),
        verbose=True,
    )
    assert (type(hook).__name__, hook.verbose) == ("ExampleLoggingHook", True)


async def test_hook_and_processor_through_the_registry(tmp_path, stats):
    """The basic example: hook registered, told, processor's result awaited."""
    hook = plugin_registry.create_instance(
        "phase_hook", "example_logging_hook", log_file=str(tmp_path / "x.log"), verbose=True
    )
    orchestrator = PhaseOrchestrator()
    orchestrator.register_hook(hook)
    tracker = Mock()
    tracker.create_stats.return_value = stats
    await orchestrator._hooks.fire("on_phase_complete", "warmup", tracker)
    assert "PHASE_COMPLETE: WARMUP | Completed: 100" in (tmp_path / "x.log").read_text()
    processor = plugin_registry.create_instance(
        "post_processor", "example_metrics_processor", output_file=str(tmp_path / "metrics.txt")
    )
    result = await processor.process([{"start_ns": 0, "end_ns": 10**6, "error_kind": None}])
    assert result.record_count == 1
    assert "latency_ms.p50: 1" in (tmp_path / "metrics.txt").read_text()


async def test_direct_imports_work_without_the_registry(tmp_path, package):
    """The alternative example, with default options."""
    hook = package.ExampleLoggingHook(log_file=str(tmp_path / "aiperf.log"))
    PhaseOrchestrator().register_hook(hook)
    result = await package.ExampleMetricsProcessor().process([])
    assert isinstance(result, package.ProcessingResult)
    assert package.ProcessingResult is CoreProcessingResult


async def test_hooks_can_be_made_from_a_configuration_by_hand(tmp_path):
    """The loop over `plugins.phase_hooks`."""
    config: dict[str, Any] = {
        "plugins": {
            "phase_hooks": [
                {"name": "example_logging_hook", "config": {"log_file": str(tmp_path / "a.log")}},
                {"name": "example_metrics_collector_hook", "config": {"aggregate": True}},
            ]
        }
    }
    orchestrator = PhaseOrchestrator()
    made = []
    for hook_config in config.get("plugins", {}).get("phase_hooks", []):
        hook = plugin_registry.create_instance(
            "phase_hook", hook_config["name"], **hook_config.get("config", {})
        )
        orchestrator.register_hook(hook)
        made.append(hook)
    assert [type(hook).__name__ for hook in made] == [
        "ExampleLoggingHook", "ExampleMetricsCollectorHook",
    ]  # fmt: skip


async def test_the_printed_unit_test_passes(tmp_path, package):
    """The document's own test of the logging hook, with its mocks."""
    hook = package.ExampleLoggingHook(log_file=str(tmp_path / "test_phases.log"))
    phase = CreditPhase.WARMUP
    tracker = Mock()
    tracker.create_stats.return_value = Mock(sent=100)
    await hook.on_phase_start(phase, tracker)
    assert "PHASE_START: WARMUP" in (tmp_path / "test_phases.log").read_text()


async def test_a_custom_hook_extends_the_base_class(package):
    """A subclass overrides one event, and the others stay silent."""
    base = importlib.import_module("aiperf_example_plugin.hooks").BasePhaseLifecycleHook

    class MyCustomHook(base):  # type: ignore[misc, valid-type]
        async def on_phase_start(self, phase, tracker):
            self.begun = phase

    hook = MyCustomHook()
    await hook.on_phase_start(CreditPhase.PROFILING, Mock())
    await hook.on_phase_sending_complete(CreditPhase.PROFILING, Mock())
    await hook.on_phase_complete(CreditPhase.PROFILING, Mock())
    await hook.on_phase_timeout(CreditPhase.PROFILING, Mock())
    assert hook.begun is CreditPhase.PROFILING


async def test_a_custom_processor_returns_a_result(package):
    """The development guide's processor."""

    class MyProcessor:
        async def process(self, results):
            return package.ProcessingResult(
                success=True, record_count=len(results), metrics={"total": len(results)}
            )

    result = await MyProcessor().process([1, 2])
    assert (result.success, result.record_count, result.metrics) == (True, 2, {"total": 2})


async def test_aggregation_and_collection_of_the_components_section(tmp_path, package, stats):
    """Several result sets make one report; the collector's durations can be asked for."""
    aggregator = package.ExampleResultsAggregator()
    good = {"latency_ms": 2.0, "success": True}
    summary = await aggregator.aggregate([[good], [good, {"success": False}]])
    assert "failed_requests: 1" in await aggregator.generate_report(summary)
    hook = package.ExampleMetricsCollectorHook(
        metrics_file=str(tmp_path / "m.json"), aggregate=True
    )
    await hook.on_phase_complete("steady", SimpleNamespace(create_stats=lambda: stats))
    assert hook.get_aggregated_metrics()["phase_durations"] == {"STEADY": 7.0}


def test_data_of_ones_own_is_frozen():
    """The pattern for immutable data."""

    class MyData(Struct, frozen=True):
        value: int
        timestamp: float

    with pytest.raises(AttributeError):
        MyData(1, 2.0).value = 3  # type: ignore[misc]


def test_the_package_has_the_files_of_the_document():
    """Directory structure, version and licence."""
    for name in (
        "aiperf_example_plugin/__init__.py", "aiperf_example_plugin/hooks.py",
        "aiperf_example_plugin/processors.py", "aiperf_example_plugin/registry.yaml",
        "tests/test_hooks.py", "tests/test_processors.py", "setup.py", "pyproject.toml",
        "README.md",
    ):  # fmt: skip
        assert (PACKAGE / name).is_file(), name
    assert 'version = "1.0.0"' in _text("pyproject.toml")
