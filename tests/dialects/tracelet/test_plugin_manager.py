"""The manager of tracker plugins: states, schemas, order, and what it says of what goes wrong."""

import subprocess
import sys
from typing import Any

import pytest

from steelyard.dialects.tracelet.core.plugins import (
    BackendPlugin,
    CollectorPlugin,
    MetricSink,
    MetricType,
    PluginInfo,
    PluginManager,
    PluginMetadata,
    PluginState,
    PluginType,
)
from steelyard.kernel.errors import PluginError, UsageError


def make(name, *, needs=(), schema=None, fail_in=""):
    """Return a collector class; `fail_in` names the method that raises."""

    class Made(CollectorPlugin):
        def get_metadata(self):
            return PluginMetadata(
                name, "1.0", type="collector", dependencies=needs, config_schema=schema
            )

        def initialize(self, config):
            super().initialize(config)
            self._maybe_fail("initialize")

        def start(self):
            self._maybe_fail("start")

        def stop(self):
            self._maybe_fail("stop")

        def collect(self):
            return {}

        def get_status(self):
            self._maybe_fail("get_status")
            return {"name": name}

        def _maybe_fail(self, method):
            if method == fail_in:
                raise RuntimeError(f"no {method} today")

    return Made


@pytest.fixture
def manager():
    return PluginManager(use_default_paths=False)


def test_a_good_life_goes_through_the_states_in_order(manager):
    """Registered, initialized, started, stopped, started again; each step says True."""
    info = manager.register_plugin(make("mine"))
    assert info.state is PluginState.VALIDATED
    assert info["instance"] is None
    assert manager.load_plugin("mine")
    assert manager.validate_plugin("mine")
    assert manager.get_plugin_instance("mine") is None
    for step, state in [
        (manager.initialize_plugin, PluginState.INITIALIZED),
        (manager.start_plugin, PluginState.STARTED),
        (manager.stop_plugin, PluginState.STOPPED),
        (manager.start_plugin, PluginState.STARTED),
    ]:
        assert step("mine") is True
        assert manager.discover_plugins()["mine"].state is state
        assert info.state is state, "an info shows how things stand now"
    assert manager.get_plugin_instance("mine").get_status() == {"name": "mine"}
    assert PluginState.STARTED > PluginState.LOADED, "states are ordered numbers"


def test_a_step_out_of_order_is_refused(manager, caplog):
    """Starting what was not initialized says why."""
    manager.register_plugin(make("mine"))
    assert manager.start_plugin("mine") is False
    assert "not initialized" in caplog.text
    assert manager.stop_plugin("mine") is True, "there is nothing to stop"


@pytest.mark.parametrize("method", ["initialize", "start", "stop"])
def test_a_method_that_raises_fails_this_plugin_only(manager, caplog, method):
    """False, the state FAILED, the reason in the info; another plugin goes on."""
    manager.register_plugin(make("bad", fail_in=method))
    manager.register_plugin(make("good"))
    steps = [manager.initialize_plugin, manager.start_plugin, manager.stop_plugin]
    assert [step("bad") for step in steps].count(False) >= 1
    info = manager.discover_plugins()["bad"]
    assert info.state is PluginState.FAILED
    assert f"no {method} today" in (info.error or "")
    assert f"no {method} today" in caplog.text
    assert all(step("good") for step in steps)


def test_a_status_that_raises_is_an_error_in_the_status(manager):
    """`get_status` of the manager never raises what a plugin raises."""
    manager.register_plugin(make("mine", fail_in="get_status"))
    manager.initialize_plugin("mine")
    status = manager.get_status()["mine"]
    assert status["state"] == "INITIALIZED"
    assert status["status"] is None
    assert "no get_status today" in status["error"]


SHORT = {
    "url": {"type": "string", "required": True},
    "timeout": {"type": "number", "default": 30},
}
FULL = {
    "type": "object",
    "properties": {"url": {"type": "string"}, "timeout": {"type": "number", "default": 30}},
    "required": ["url"],
}


@pytest.mark.parametrize("schema", [SHORT, FULL], ids=["short", "json-schema"])
def test_both_schema_dialects_are_enforced(manager, schema):
    """A missing and a wrong field are refused with a reason; then a right one works."""
    manager.register_plugin(make("mine", schema=schema))
    assert manager.initialize_plugin("mine", {}) is False
    assert "url: is required" in manager.discover_plugins()["mine"].error
    assert manager.initialize_plugin("mine", {"url": 3}) is False
    assert "expected string" in manager.get_status()["mine"]["error"]
    assert manager.initialize_plugin("mine", {"url": "x"}) is True
    assert manager.get_plugin_instance("mine").config == {"url": "x", "timeout": 30}
    assert manager.discover_plugins()["mine"].error is None


def test_a_wrong_schema_fails_validation(manager):
    """A schema that is itself wrong is the author's mistake, found before any run."""
    manager.register_plugin(make("mine", schema={"url": {"type": "strnig"}}))
    assert manager.validate_plugin("mine") is False
    assert "Did you mean 'string'" in manager.discover_plugins()["mine"].error


def test_a_missing_package_warns_and_blocks_nothing(manager, caplog):
    """A requirement that is not installed is told; the plugin still starts."""
    manager.register_plugin(make("mine", needs=["no-such-package>=1.0", "psutil>=5"]))
    assert "no-such-package>=1.0 is not installed" in caplog.text
    assert "psutil" not in caplog.text
    assert manager.initialize_plugin("mine")
    assert manager.start_plugin("mine")


def test_dependencies_come_first(manager):
    """Each plugin stands after those it names, whatever order was asked for."""
    manager.register_plugin(make("top", needs=["middle", "psutil>=5"]))
    manager.register_plugin(make("middle", needs=["bottom"]))
    manager.register_plugin(make("bottom"))
    assert manager.resolve_dependencies(["top"]) == ["bottom", "middle", "top"]
    assert manager.resolve_dependencies(["bottom"]) == ["bottom"]
    assert manager.resolve_dependencies([]) == []


def test_a_cycle_is_named(manager):
    """The error shows the circle."""
    manager.register_plugin(make("a", needs=["b"]))
    manager.register_plugin(make("b", needs=["a"]))
    with pytest.raises(PluginError, match=r"wait for each other: (a -> b -> a|b -> a -> b)"):
        manager.resolve_dependencies(["a"])


def test_an_unknown_name_is_named_with_a_suggestion(manager):
    """Asked for or depended on, a name nobody has is an error that says so."""
    manager.register_plugin(make("collector_one", needs=["no_such_plugin"]))
    with pytest.raises(PluginError, match="Did you mean 'collector_one'"):
        manager.resolve_dependencies(["colector_one"])
    with pytest.raises(PluginError, match="'collector_one' needs plugin 'no_such_plugin'"):
        manager.resolve_dependencies(["collector_one"])


def test_unknown_names_are_false_or_none_and_logged(manager, caplog):
    """Nothing raises, everything is said."""
    manager.register_plugin(make("mine"))
    assert manager.load_plugin("mien") is False
    assert manager.validate_plugin("mien") is False
    assert manager.initialize_plugin("mien") is False
    assert manager.start_plugin("mien") is False
    assert manager.stop_plugin("mien") is False
    assert manager.get_plugin_by_name("mien") is None
    assert manager.get_plugin_instance("mien") is None
    assert caplog.text.count("Did you mean 'mine'?") == 7


def test_a_name_is_taken_once(manager):
    """The second class of the same name is refused, the first stays."""
    first = make("mine")
    manager.register_plugin(first)
    with pytest.raises(PluginError, match="taken"):
        manager.register_plugin(make("mine"))
    assert manager.get_plugin("collector", "mine") is first


def test_a_type_can_be_named_in_several_ways(manager):
    """Member, text, plural; what is none is an error with the list."""
    manager.register_plugin(make("mine"))
    for named in (PluginType.COLLECTOR, "collector", "Collectors"):
        assert [info.name for info in manager.get_plugins_by_type(named)] == ["mine"]
    assert manager.list_plugins("backend") == []
    with pytest.raises(ValueError, match="expected one of backend, collector"):
        manager.list_plugins("nonsense")


@pytest.mark.parametrize(
    "text",
    [
        "plugins:\n  mine:\n    timeout: 5\n",
        "mine: {timeout: 5}\n",
        "plugins:\n  - name: mine\n    config: {timeout: 5}\n",
        '{"mine": {"timeout": 5}}',
    ],
    ids=["under-plugins", "bare", "list", "json"],
)
def test_a_configuration_file_is_used_where_none_is_given(manager, tmp_path, text):
    """`load_config` returns what it read, and `initialize_plugin(name)` uses it."""
    manager.register_plugin(make("mine"))
    (tmp_path / "plugins.yaml").write_text(text)
    assert manager.load_config(tmp_path / "plugins.yaml") == {"mine": {"timeout": 5}}
    assert manager.initialize_plugin("mine")
    assert manager.get_plugin_instance("mine").config == {"timeout": 5}


@pytest.mark.parametrize("text", [None, "[1, 2]", "mine: 5", "a: [b", "5"])
def test_a_file_that_is_no_configuration_is_a_usage_error(manager, tmp_path, text):
    """Missing, unreadable and misshapen files name themselves."""
    file = tmp_path / "plugins.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=r"plugins\.yaml"):
        manager.load_config(str(file))


def test_an_unknown_plugin_in_the_configuration_is_warned_of(manager, tmp_path, caplog):
    """It may still be registered later, so it is kept."""
    (tmp_path / "x.yaml").write_text("later: {timeout: 7}\n")
    manager.load_config(tmp_path / "x.yaml")
    assert "no plugin 'later' is known yet" in caplog.text
    manager.register_plugin(make("later"))
    assert manager.initialize_plugin("later")
    assert manager.get_plugin_instance("later").config == {"timeout": 7}


def test_a_broken_file_in_a_directory_harms_nobody(tmp_path, caplog):
    """A plugin that raises on import is FAILED with its reason; its neighbour loads."""
    source = (
        "from steelyard.dialects.tracelet.core.plugins import CollectorPlugin, PluginMetadata\n"
        "class C(CollectorPlugin):\n"
        "    def get_metadata(self): return PluginMetadata('{0}', '1', 'collector')\n"
        "    def start(self): ...\n    def stop(self): ...\n"
        "    def get_status(self): return {{}}\n    def collect(self): return {{}}\n"
    )
    (tmp_path / "good.py").write_text(source.format("good"))
    (tmp_path / "bad.py").write_text(source.format("bad") + "raise RuntimeError('no driver')\n")
    manager = PluginManager([tmp_path], use_default_paths=False)
    assert set(manager.discover_plugins()) == {"good", "bad"}
    assert manager.load_plugin("bad") is False
    assert "no driver" in (manager.discover_plugins()["bad"].error or "")
    assert manager.load_plugin("good") is True


def test_info_is_an_object_and_a_mapping():
    """Attributes and keys are the same thing; a wrong key is a KeyError."""
    info = PluginInfo(PluginMetadata("n", "1", PluginType.BACKEND), "pkg.mod", "Cls")
    assert info.state is PluginState.DISCOVERED
    assert info["metadata"] is info.metadata
    assert dict(info) == {
        "metadata": info.metadata, "module_path": "pkg.mod", "class_name": "Cls",
        "state": PluginState.DISCOVERED, "instance": None, "error": None,
    }  # fmt: skip
    assert info.name == "n"
    assert info.get("nothing", 3) == 3
    with pytest.raises(KeyError):
        info["nothing"]


def test_metadata_states_exactly_one_type():
    """No type, an unknown one and two that differ are refused; two that agree are fine."""
    assert (
        PluginMetadata("n", "1", "backend", plugin_type=PluginType.BACKEND).type.value == "backend"
    )
    wrongs: list[dict[str, Any]]
    wrongs = [{}, {"type": "backnd"}, {"type": "backend", "plugin_type": "collector"}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="type"):
            PluginMetadata("n", "1", **wrong)


def test_a_backend_takes_the_three_kinds_it_has_methods_for():
    """`can_handle_type` knows members and their text, and says no to the rest."""
    assert issubclass(BackendPlugin, MetricSink)
    ask = BackendPlugin.can_handle_type
    assert all(ask(None, known) and ask(None, known.value) for known in MetricType)  # type: ignore[arg-type]
    assert ask(None, "video") is False  # type: ignore[arg-type]


def test_importing_it_brings_no_numpy_and_no_schema_checker():
    """A plugin's author waits for neither."""
    code = (
        "import sys, steelyard.dialects.tracelet.core.plugins;"
        "sys.exit(bool({'numpy', 'jsonschema', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
