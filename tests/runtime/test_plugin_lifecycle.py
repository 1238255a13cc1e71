"""Living plugins are started in order and stopped in reverse, in every authoring style."""

import asyncio

import pytest

from steelyard.kernel.errors import ConfigError, PluginError
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import Lifecycle, run_now

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


class Core:
    """Made with its configuration; all steps are optional."""

    def __init__(self, label: str = "core") -> None:
        self.label = label

    def start(self):
        LOG.append(f"start {self.label}")

    def stop(self):
        LOG.append(f"stop {self.label}")


class Tracelet:
    """In the style of reference 004."""

    def get_metadata(self): ...

    def initialize(self, config):
        LOG.append(f"initialize {config} {self.config}")

    def start(self):
        LOG.append("start tracelet")

    def stop(self):
        LOG.append("stop tracelet")

    def get_status(self):
        return {"connected": True}


class Coordinated:
    """In the style of reference 003."""

    def configure(self, config):
        LOG.append(f"configure {config}")
        return True

    async def initialize(self, coordinator):
        await asyncio.sleep(0)
        LOG.append(f"initialize with {coordinator}")
        return True

    async def shutdown(self):
        LOG.append("shutdown")
        return True


@pytest.fixture
def host():
    made = PluginHost()
    made.register("custom", "core", Core, config_schema={"label": {"type": "string"}})
    made.register("backend", "tracelet", Tracelet, authoring_style="tracelet")
    made.register("integration", "coord", Coordinated, authoring_style="distributed_testing")
    return made


def test_a_core_plugin_lives_without_an_event_loop(host):
    lifecycle = Lifecycle(host)
    run_now(lifecycle.initialize("custom", "core", {"label": "x"}))
    assert host.state("custom", "core") is PluginState.INITIALIZED
    run_now(lifecycle.start("custom", "core"))
    assert host.state("custom", "core") is PluginState.STARTED
    run_now(lifecycle.stop("custom", "core"))
    run_now(lifecycle.stop("custom", "core"))
    assert host.state("custom", "core") is PluginState.STOPPED
    assert LOG == ["start x", "stop x"]


def test_a_tracelet_plugin_gets_its_configuration_in_initialize(host):
    lifecycle = Lifecycle(host)
    made = run_now(lifecycle.initialize("backend", "tracelet", {"a": 1}))
    run_now(lifecycle.start("backend", "tracelet"))
    assert LOG == ["initialize {'a': 1} {'a': 1}", "start tracelet"]
    assert lifecycle.instance("backend", "tracelet") is made
    assert lifecycle.status()["backend", "tracelet"] == {
        "state": "started",
        "why": "",
        "plugin": {"connected": True},
    }


async def test_a_coordinated_plugin_gets_its_coordinator(host):
    lifecycle = Lifecycle(host, "the coordinator")
    assert await lifecycle.start_all({("integration", "coord"): {"n": 1}}) == {}
    assert await lifecycle.stop_all() == {}
    assert LOG == ["configure {'n': 1}", "initialize with the coordinator", "shutdown"]


def test_an_asynchronous_plugin_is_not_driven_without_a_loop(host):
    with pytest.raises(PluginError, match="Await the call instead"):
        run_now(Lifecycle(host, None).initialize("integration", "coord"))


def register_chain(host, **steps):
    """Register a <- b <- c, and alone."""
    for name, needs in (("a", []), ("b", ["a"]), ("c", ["b"]), ("alone", [])):

        class Link(Core):
            def __init__(self, name=name):
                super().__init__(name)

            def initialize(self, name=name):
                if name in steps:
                    raise RuntimeError(steps[name])

        host.register("custom", name, Link, plugins=needs)
    return {("custom", name): {} for name in ("c", "alone")}


async def test_plugins_start_after_what_they_need_and_stop_before_it(host):
    lifecycle = Lifecycle(host)
    assert await lifecycle.start_all(register_chain(host)) == {}
    assert [e for e in LOG if e != "start alone"] == ["start a", "start b", "start c"]
    LOG.clear()
    assert await lifecycle.stop_all() == {}
    assert [e for e in LOG if e != "stop alone"] == ["stop c", "stop b", "stop a"]


async def test_a_failure_stops_those_that_need_it_and_nobody_else(host):
    lifecycle = Lifecycle(host)
    failures = await lifecycle.start_all(register_chain(host, b="broken"))
    assert set(failures) == {("custom", "b"), ("custom", "c")}
    assert "RuntimeError: broken" in failures["custom", "b"]
    assert "needs the custom 'b', which is failed" in failures["custom", "c"]
    assert host.state("custom", "b") is PluginState.FAILED
    assert host.state("custom", "a") is PluginState.STARTED
    assert host.state("custom", "alone") is PluginState.STARTED


def test_nothing_starts_before_what_it_needs(host):
    lifecycle = Lifecycle(host)
    register_chain(host)
    run_now(lifecycle.initialize("custom", "b"))
    with pytest.raises(PluginError, match="custom 'b' needs the custom 'a', which is validated"):
        run_now(lifecycle.start("custom", "b"))


def test_nothing_starts_uninitialized(host):
    with pytest.raises(PluginError, match="is not initialized"):
        run_now(Lifecycle(host).start("custom", "core"))


def test_wrong_configuration_does_not_make_a_plugin_failed(host):
    with pytest.raises(ConfigError):
        run_now(Lifecycle(host).initialize("custom", "core", {"label": 3}))
    assert host.state("custom", "core") is PluginState.VALIDATED


def test_false_from_initialize_is_a_no(host):
    class Refuses(Core):
        def initialize(self):
            return False

    host.register("custom", "refuses", Refuses)
    with pytest.raises(PluginError, match="said no: its initialize"):
        run_now(Lifecycle(host).initialize("custom", "refuses"))
    assert host.state("custom", "refuses") is PluginState.FAILED


async def test_a_step_that_hangs_is_bounded(host):
    class Hangs(Core):
        async def initialize(self):
            await asyncio.sleep(10)

    host.register("custom", "hangs", Hangs)
    with pytest.raises(PluginError, match="failed to initialize: TimeoutError"):
        await Lifecycle(host, timeout_s=0.1).initialize("custom", "hangs")


async def test_a_stop_that_raises_does_not_keep_the_others_running(host):
    class Clings(Core):
        def stop(self):
            raise RuntimeError("mine")

    host.register("custom", "clings", Clings)
    lifecycle = Lifecycle(host)
    await lifecycle.start_all({("custom", "core"): {}, ("custom", "clings"): {}})
    failures = await lifecycle.stop_all()
    assert list(failures) == [("custom", "clings")]
    assert host.state("custom", "core") is PluginState.STOPPED


def test_a_status_that_raises_is_told(host):
    class Shy(Core):
        def get_status(self):
            raise RuntimeError("not today")

    host.register("custom", "shy", Shy)
    lifecycle = Lifecycle(host)
    run_now(lifecycle.initialize("custom", "shy"))
    assert "not today" in lifecycle.status()["custom", "shy"]["error"]
