"""Coordinator plugins as document 003 shows them, with only the import root changed."""

import asyncio
import logging
import subprocess
import sys
import textwrap
from enum import Enum

import pytest

from steelyard.dialects.distributed_testing.plugin_architecture import (
    HookType,
    Plugin,
    PluginManager,
    PluginType,
)
from steelyard.runtime.hook_runner import HookRunner

TEMPLATE = '''
import logging
from typing import Dict, List, Any

from steelyard.dialects.distributed_testing.plugin_architecture import Plugin, PluginType, HookType

logger = logging.getLogger(__name__)

class MyCustomPlugin(Plugin):
    """My custom plugin description."""

    def __init__(self):
        super().__init__(
            name="MyCustomPlugin",
            version="1.0.0",
            plugin_type=PluginType.CUSTOM
        )
        self.config = {"option1": "value1", "option2": "value2"}
        self.register_hook(HookType.COORDINATOR_STARTUP, self.on_coordinator_startup)
        self.register_hook(HookType.TASK_COMPLETED, self.on_task_completed)
        self.seen = []

    async def initialize(self, coordinator) -> bool:
        self.coordinator = coordinator
        return True

    async def shutdown(self) -> bool:
        self.seen.append("shutdown")
        return True

    async def on_coordinator_startup(self, coordinator):
        self.seen.append(coordinator)

    async def on_task_completed(self, task_id: str, result: Any):
        self.seen.append((task_id, result))
        return f"Task {task_id} completed"
'''

NOTIFICATION = """
from steelyard.dialects.distributed_testing.plugin_architecture import HookType, Plugin, PluginType


class SimpleNotification(Plugin):
    def __init__(self):
        super().__init__("SimpleNotification", "1.0.0", PluginType.NOTIFICATION)
        self.notes = []
        self.register_hook(HookType.WORKER_REGISTERED, self.on_worker)
        self.register_hook(HookType.TASK_CREATED, self.on_created)
        self.register_hook(HookType.TASK_FAILED, self.on_failed)

    async def initialize(self, coordinator):
        return True

    async def shutdown(self):
        return True

    async def on_worker(self, worker_id, capabilities):
        self.notes.append(f"Worker {worker_id} registered with capabilities: {capabilities}")

    def on_created(self, task_id, task_data):
        self.notes.append(f"Task {task_id} created with type: {task_data['type']}")

    async def on_failed(self, task_id, error):
        self.notes.append(f"Task {task_id} failed: {error}")
"""


class MyPlugin(Plugin):
    """The overview's plugin."""

    def __init__(self):
        super().__init__(name="MyPlugin", version="1.0.0", plugin_type=PluginType.CUSTOM)
        self.register_hook(HookType.COORDINATOR_STARTUP, self.on_coordinator_startup)

    async def initialize(self, coordinator) -> bool:
        self.coordinator = coordinator
        return True

    async def shutdown(self) -> bool:
        return True

    async def on_coordinator_startup(self, coordinator):
        return f"{coordinator} started!"


@pytest.fixture
def plugin_dir(tmp_path):
    (tmp_path / "my_custom_plugin.py").write_text(TEMPLATE)
    (tmp_path / "notification_plugin.py").write_text(NOTIFICATION)
    return tmp_path


@pytest.fixture
def manager(plugin_dir):
    return PluginManager("the coordinator", [str(plugin_dir)])


def test_the_eight_types_and_fifteen_events_have_their_printed_values():
    """Members and values are those of the document."""
    assert [(t.name, t.value) for t in PluginType] == [(t.name, t.name.lower()) for t in PluginType]
    assert [(h.name, h.value) for h in HookType] == [(h.name, h.name.lower()) for h in HookType]
    assert (len(PluginType), len(HookType)) == (8, 15)
    assert issubclass(PluginType, Enum)
    assert issubclass(HookType, Enum)


async def test_the_overview_example_hears_of_the_startup():
    """A hook registered in `__init__` is called by `invoke_hook`."""
    plugin = MyPlugin()
    assert plugin.id == "MyPlugin-1.0.0"
    assert await plugin.initialize("c") is True
    assert await plugin.invoke_hook(HookType.COORDINATOR_STARTUP, "c") == ["c started!"]


async def test_a_hook_is_registered_once_and_can_be_taken_back():
    """The second registration and the second removal say False."""
    plugin = MyPlugin()
    heard: list[str] = []
    assert plugin.register_hook(HookType.TASK_STARTED, heard.append) is True
    assert plugin.register_hook(HookType.TASK_STARTED, heard.append) is False
    await plugin.invoke_hook(HookType.TASK_STARTED, "t")
    assert heard == ["t"]
    assert plugin.unregister_hook(HookType.TASK_STARTED, heard.append) is True
    assert plugin.unregister_hook(HookType.TASK_STARTED, heard.append) is False
    await plugin.invoke_hook(HookType.TASK_STARTED, "t")
    assert heard == ["t"]
    assert plugin.register_hook(HookType.TASK_STARTED, "text") is False  # type: ignore[arg-type]


async def test_user_defined_events_are_plain_text():
    """An event that no list names works the same way, keyword arguments included."""
    plugin = MyPlugin()
    plugin.register_hook("cache_warmed", lambda *, size: size * 2)
    assert await plugin.invoke_hook("cache_warmed", size=4) == [8]
    assert await plugin.invoke_hook("never_registered") == []


async def test_a_disabled_plugin_hears_nothing_until_it_is_enabled():
    """`disable` and `enable` switch all callbacks, and `get_info` tells."""
    plugin = MyPlugin()
    assert plugin.disable() is True
    assert await plugin.invoke_hook(HookType.COORDINATOR_STARTUP, "c") == []
    assert plugin.get_info()["enabled"] is False
    assert plugin.enable() is True
    assert await plugin.invoke_hook(HookType.COORDINATOR_STARTUP, "c") == ["c started!"]


def test_configure_changes_named_options_only():
    """Defaults stay where nothing is said; what is no mapping is refused."""
    plugin = MyPlugin()
    plugin.config = {"option1": "value1", "option2": "value2"}
    assert plugin.configure({"option2": "new"}) is True
    assert plugin.config == {"option1": "value1", "option2": "new"}
    assert plugin.configure("option2=x") is False


def test_get_info_tells_who_and_what_but_no_options():
    """Options can hold tokens, so they stay out."""
    plugin = MyPlugin()
    plugin.configure({"api_token": "s3cret"})
    info = plugin.get_info()
    assert info["id"] == "MyPlugin-1.0.0"
    assert (info["name"], info["version"], info["type"]) == ("MyPlugin", "1.0.0", "custom")
    assert info["hooks"] == ["coordinator_startup"]
    assert "s3cret" not in repr(info)


def test_a_plugin_without_its_two_methods_is_abstract():
    """`initialize` and `shutdown` must be written."""

    class Half(Plugin):
        async def initialize(self, coordinator):
            return True

    with pytest.raises(TypeError, match="shutdown"):
        Half("half", "1", PluginType.CUSTOM)  # type: ignore[abstract]


async def test_discovery_names_modules_and_imports_none(plugin_dir):
    """A module that would end the process on import is still listed."""
    (plugin_dir / "fatal_plugin.py").write_text(
        NOTIFICATION.replace("SimpleNotification", "Fatal") + "\nraise SystemExit(3)\n"
    )
    manager = PluginManager(None, [str(plugin_dir)])
    names = await manager.discover_plugins()
    assert names == ["fatal_plugin", "my_custom_plugin", "notification_plugin"]
    assert await manager.discover_plugins() == names, "twice finds the same"
    assert manager.get_all_plugins() == {}


async def test_the_template_is_loaded_told_and_unloaded(manager):
    """Load gives the id; the events arrive in the plugin; unload shuts it down."""
    assert "my_custom_plugin" in await manager.discover_plugins()
    plugin_id = await manager.load_plugin("my_custom_plugin")
    assert plugin_id == "MyCustomPlugin-1.0.0"
    plugin = manager.get_plugin(plugin_id)
    assert plugin.coordinator == "the coordinator"
    assert manager.get_plugins_by_type(PluginType.CUSTOM) == {plugin_id: plugin}
    assert manager.get_plugins_by_type(PluginType.SECURITY) == {}
    await manager.invoke_hook(HookType.COORDINATOR_STARTUP, "coordinator")
    told = await manager.invoke_hook(HookType.TASK_COMPLETED, "task-1", {"ok": 1})
    assert told == ["Task task-1 completed"]
    assert plugin.seen == ["coordinator", ("task-1", {"ok": 1})]
    assert await manager.unload_plugin(plugin_id) is True
    assert plugin.seen[-1] == "shutdown"
    assert manager.get_plugin(plugin_id) is None
    assert await manager.unload_plugin(plugin_id) is False
    assert await manager.invoke_hook(HookType.TASK_COMPLETED, "task-2", None) == []


async def test_load_works_without_discover_and_twice_is_once(manager):
    """`load_plugin` looks by itself, and a loaded plugin is not made anew."""
    first = await manager.load_plugin("notification_plugin")
    plugin = manager.get_plugin(first)
    assert await manager.load_plugin("notification_plugin") == first
    assert manager.get_plugin(first) is plugin


async def test_notifications_of_workers_and_tasks(manager):
    """The printed example: a worker registers, a task is created and fails."""
    plugin_id = await manager.load_plugin("notification_plugin")
    capabilities = {"hardware_type": "gpu", "cpu_cores": 8, "supports_webgpu": True}
    await manager.invoke_hook(HookType.WORKER_REGISTERED, "worker-001", capabilities)
    await manager.invoke_hook(HookType.TASK_CREATED, "task-1", {"type": "model_test"})
    await manager.invoke_hook(HookType.TASK_FAILED, "task-1", "out of memory")
    assert manager.get_plugin(plugin_id).notes == [
        f"Worker worker-001 registered with capabilities: {capabilities}",
        "Task task-1 created with type: model_test",
        "Task task-1 failed: out of memory",
    ]


async def test_an_unknown_module_is_named_with_what_is_there(manager, caplog):
    """None comes back, and the log says where was looked and what is close."""
    assert await manager.load_plugin("notification_plugn") is None
    assert "Plugin module not found" in caplog.text
    assert "Did you mean 'notification_plugin'?" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("return False", "said no"),
        ("raise RuntimeError('no GPU')", "no GPU"),
    ],
)
async def test_a_plugin_that_does_not_initialize_is_not_loaded(
    plugin_dir, manager, caplog, change, said
):
    """False or an exception from `initialize` gives None, a reason, and a second chance."""
    good = (plugin_dir / "notification_plugin.py").read_text()
    broken = good.replace("coordinator):\n        return True", f"coordinator):\n        {change}")
    (plugin_dir / "broken_plugin.py").write_text(broken.replace("SimpleNotification", "Broken"))
    assert await manager.load_plugin("broken_plugin") is None
    assert "Failed to initialize plugin Broken" in caplog.text
    assert said in caplog.text
    assert manager.get_all_plugins() == {}
    assert await manager.load_plugin("broken_plugin") is None, "tried anew, not refused for good"
    assert await manager.load_plugin("notification_plugin") is not None


async def test_one_raising_callback_harms_nobody_else(manager, caplog):
    """The others' results still come; three failures in a row quarantine the one that raises."""
    bad_id = await manager.load_plugin("my_custom_plugin")
    good_id = await manager.load_plugin("notification_plugin")
    bad, good = manager.get_plugin(bad_id), manager.get_plugin(good_id)

    async def explode():
        raise ValueError("boom")

    bad.register_hook("tick", explode)
    good.register_hook("tick", lambda: "fine")
    for _ in range(4):
        assert await manager.invoke_hook("tick") == ["fine"]
    assert bad.get_info()["failures"] == 3
    assert "boom" in bad.get_info()["last_error"]
    assert f"{bad_id} is quarantined" in caplog.text
    assert bad.enable()
    assert await manager.invoke_hook("tick") == ["fine"]
    assert bad.get_info()["failures"] == 4
    assert await manager.unload_plugin(bad_id), "a quarantined plugin can still be shut down"


async def test_a_hanging_callback_is_left_behind(monkeypatch):
    """A callback that never returns costs its time limit and no more."""
    plugin, hangs = MyPlugin(), asyncio.Event()

    async def hang():
        hangs.set()
        await asyncio.Event().wait()

    # The next one is waited for, however slow the machine is.
    limit = property(lambda _: 60.0 if hangs.is_set() else 0.05)
    monkeypatch.setattr(HookRunner, "timeout_s", limit, raising=False)
    plugin.register_hook("tick", hang)
    plugin.register_hook("tick", lambda: "after")
    assert await asyncio.wait_for(plugin.invoke_hook("tick"), 90) == ["after"]


async def test_a_missing_directory_is_a_warning(tmp_path, caplog):
    """The default directory need not exist; its absence is said."""
    caplog.set_level(logging.WARNING)
    manager = PluginManager(None, [str(tmp_path / "nowhere")])
    assert await manager.discover_plugins() == []
    assert "does not exist" in caplog.text
    assert PluginManager(None).plugin_dirs == ["plugins"]


def test_importing_it_brings_no_numpy():
    """A coordinator's plugin imports in a moment."""
    code = """
        import sys
        import steelyard.dialects.distributed_testing.plugin_architecture
        sys.exit("numpy" in sys.modules or "pydantic" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 0
