"""The plugin examples of document 004 run with only the import root changed."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from steelyard.dialects.tracelet.core.plugins import (
    BackendPlugin,
    PluginManager,
    PluginMetadata,
    PluginState,
    PluginType,
)

EXAMPLES = Path(__file__).parent / "examples"
CONFIG = {"server_url": "http://127.0.0.1:1", "project_id": "p", "api_token": "t"}


@pytest.fixture
def packages(monkeypatch):
    """Make `custom_sdk` and `my_package` importable."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def manager(packages):
    return PluginManager(plugin_paths=[EXAMPLES / "my_package"])


def test_metadata_is_written_as_printed():
    """All the keyword arguments of the page are taken, `plugin_type` for `type` too."""
    metadata = PluginMetadata(
        name="custom_backend",
        version="1.0.0",
        description="Custom experiment tracking backend",
        author="ML Team",
        plugin_type="backend",
        entry_point="my_package.backends.CustomBackend",
        dependencies=["requests>=2.25.0", "pandas>=1.3.0"],
        config_schema={
            "api_endpoint": {"type": "string", "required": True},
            "api_key": {"type": "string", "required": True},
            "timeout": {"type": "number", "default": 30},
        },
    )
    assert metadata.type is PluginType.BACKEND
    assert metadata.plugin_type is PluginType.BACKEND
    assert metadata.entry_point == "my_package.backends.CustomBackend"
    assert metadata.capabilities == set()


def test_plugins_are_discovered_and_listed_by_type(manager):
    """`discover_plugins` then `list_plugins("backend")`, whose items have a name."""
    manager.discover_plugins()
    backend_plugins = manager.list_plugins("backend")
    collector_plugins = manager.list_plugins("collector")
    assert "custom_backend" in [p.name for p in backend_plugins]
    assert "advanced_system_collector" in [p.name for p in collector_plugins]


def test_a_class_is_registered_by_hand(packages):
    """`register_plugin`, then `get_plugin(type, name)` gives the class."""
    custom_backend_plugin = importlib.import_module("my_package.plugins").CustomBackendPlugin
    plugin_manager = PluginManager(use_default_paths=False)
    plugin_manager.register_plugin(custom_backend_plugin)
    plugin_class = plugin_manager.get_plugin("backend", "custom_backend")
    assert plugin_class is custom_backend_plugin
    assert isinstance(plugin_class(), BackendPlugin)
    assert plugin_manager.get_plugin("backend", "other") is None


def test_the_backend_tracks_an_experiment(manager):
    """The custom backend logs into its SDK; `experiment_name` reaches it through `self.config`."""
    config = CONFIG | {"experiment_name": "first"}
    assert manager.initialize_plugin("custom_backend", config)
    assert manager.start_plugin("custom_backend")
    backend = manager.get_plugin_instance("custom_backend")
    experiment = backend.experiment
    backend.log_metric("loss", 0.5, 0)
    backend.log_params({"lr": 0.1})
    backend.log_artifact("/tmp/model.bin", "models/model.bin")
    assert (experiment.name, experiment.running) == ("first", True)
    assert experiment.metrics == [("loss", 0.5, 0)]
    assert experiment.params == {"lr": 0.1}
    assert experiment.artifacts == {"models/model.bin": "/tmp/model.bin"}
    assert manager.get_status()["custom_backend"]["status"]["connected"] is True
    assert manager.stop_plugin("custom_backend")
    assert experiment.running is False
    assert manager.get_status()["custom_backend"]["status"]["connected"] is False


def test_the_collector_collects(manager, caplog):
    """The system collector runs as it is, without its GPU package; that one is only warned of."""
    config = {"include_processes": True, "process_limit": 3}
    assert manager.initialize_plugin("advanced_system_collector", config)
    assert "GPUtil>=1.4.0 is not installed" in caplog.text
    assert manager.start_plugin("advanced_system_collector")
    facts = manager.get_plugin_instance("advanced_system_collector").collect()
    assert facts["memory_total"] > 0
    assert facts["cpu_count_logical"] >= 1
    assert facts["network_bytes_sent_rate"] >= 0
    assert len(facts["top_processes"]) == 3
    status = manager.get_status()["advanced_system_collector"]
    assert status["state"] == "STARTED"
    assert status["status"]["active"] is True
    assert manager.stop_plugin("advanced_system_collector")


def test_missing_dependencies_are_found_by_the_pages_own_check(manager):
    """The page's loop over `plugins.items()` with `plugin_info["metadata"]`.

    Over the page's own plugins: importing what our backends need would patch this process.
    """
    own = {"advanced_system_collector", "custom_backend"}

    def check_plugin_dependencies(plugin_metadata):
        missing_deps = []
        for dep in plugin_metadata.dependencies:
            try:
                package_name = dep.split(">=")[0] if ">=" in dep else dep
                importlib.import_module(package_name)
            except ImportError:
                missing_deps.append(dep)
        return missing_deps

    missing = {
        plugin_name: check_plugin_dependencies(plugin_info["metadata"])
        for plugin_name, plugin_info in manager.discover_plugins().items()
        if plugin_name in own
    }
    assert missing["advanced_system_collector"] == ["GPUtil>=1.4.0"]
    assert manager.discover_plugins()["custom_backend"]["state"] is PluginState.DISCOVERED


def validate_plugin_config(config: dict[str, Any], schema: dict[str, Any]) -> bool:
    """The page's function: JSON Schema, an answer, a line for the person."""
    try:
        jsonschema.validate(config, schema)
    except jsonschema.ValidationError as e:
        sys.stdout.write(f"Configuration validation failed: {e}\n")
        return False
    return True


class ValidatedBackendPlugin(BackendPlugin):
    """The page's plugin, completed by the methods it leaves out."""

    def initialize(self, config: dict[str, Any]) -> None:
        metadata = self.get_metadata()
        if not validate_plugin_config(config, metadata.config_schema or {}):
            raise ValueError("Invalid plugin configuration")
        super().initialize(config)

    def get_metadata(self):
        schema = {"type": "object", "properties": {"port": {"type": "integer", "maximum": 9}}}
        return PluginMetadata("validated", "1.0", PluginType.BACKEND, config_schema=schema)

    def start(self):
        """Nothing to begin."""

    def stop(self):
        """Nothing to end."""

    def get_status(self):
        return {"name": "validated"}

    def log_metric(self, name, value, iteration=None):
        """Not kept."""

    def log_params(self, params):
        """Not kept."""

    def log_artifact(self, local_path, artifact_path):
        """Not kept."""


def test_a_plugin_validates_its_own_configuration(capsys):
    """`super().initialize` keeps a good configuration; a bad one is told and refused."""
    plugin = ValidatedBackendPlugin()
    plugin.initialize({"port": 9})
    assert plugin.config == {"port": 9}
    with pytest.raises(ValueError, match="Invalid plugin configuration"):
        plugin.initialize({"port": 10})
    assert "Configuration validation failed" in capsys.readouterr().out


def test_the_pages_lifecycle_manager_starts_and_stops(packages, capsys):
    """It starts what can be started without discovering first, tells the rest, and stops all."""
    manager_class = importlib.import_module("page_lifecycle").PluginLifecycleManager
    lifecycle = manager_class([EXAMPLES / "my_package"])
    bad = {"server_url": "nonsense", "project_id": "p", "api_token": "t"}
    lifecycle.start_plugins({
        "custom_backend": bad, "advanced_system_collector": {}, "no_such_plugin": {},
    })  # fmt: skip
    assert "Failed to start plugin custom_backend: not a URL" in capsys.readouterr().out
    assert [type(p).__name__ for p in lifecycle.active_plugins] == ["AdvancedSystemCollectorPlugin"]
    assert lifecycle.get_plugin_status()["unknown"]["active"] is True
    lifecycle.stop_all_plugins()
    assert lifecycle.active_plugins == []


def test_entry_points_are_found(tmp_path, monkeypatch, packages):
    """A package installed with the page's `tracelet.plugins` entry points is discovered."""
    info = tmp_path / "tracelet_custom_plugins-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tracelet-custom-plugins\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text(
        "[tracelet.plugins]\n"
        "custom_backend = my_package.plugins:CustomBackendPlugin\n"
        "advanced_system = my_package.collectors:AdvancedSystemCollectorPlugin\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = PluginManager().discover_plugins()
    assert found["custom_backend"].metadata.type is PluginType.BACKEND
    assert "advanced_system_collector" in found
    assert json.dumps(sorted(found["custom_backend"].metadata.dependencies)) == (
        '["custom-sdk>=2.0.0"]'
    )
