"""Plugins hear what happens: in order, each bounded in time, none in the coordinator's way."""

import asyncio
import time
from pathlib import Path

import pytest
from fleet_host import coordinator, fleet_host, spec, until
from fleet_rig import InstantEngine

from steelyard.app.fleet import hooks
from steelyard.domain.fleet.hooks import HOOK_ARGUMENTS, FleetHook
from steelyard.domain.fleet.model import Ending, Outcome
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.plugins.hooks import HookTable

PLUGIN = """
from steelyard.dialects.distributed_testing.plugin_architecture import HookType, Plugin, PluginType


class Recorder(Plugin):
    def __init__(self):
        super().__init__("Recorder", "1.0.0", PluginType.MONITORING)
        self.heard = []
        for hook in HookType:
            self.register_hook(hook, self.note(hook.value))

    def note(self, name):
        async def heard(*args):
            self.heard.append((name, args))
            if self.config.get("fail"):
                raise ValueError("broken on purpose")
        return heard

    async def initialize(self, coordinator):
        self.coordinator = coordinator
        coordinator.found = self
        return True

    async def shutdown(self):
        self.heard.append(("shutdown", ()))
        return True
"""


async def ended(fleet, name):
    return (await fleet.task(name)).state in ("completed", "failed", "cancelled", "dead-letter")


def test_every_hook_says_when_it_is_told():
    assert {event.name for event in hooks.fleet_events()} == {str(hook) for hook in FleetHook}
    assert all(event.description.endswith(".") for event in hooks.fleet_events())


@pytest.mark.parametrize("event", hooks.fleet_events(), ids=lambda event: event.name)
def test_the_page_has_every_hook_with_its_arguments(event):
    names = ", ".join(f"`{name}`" for name in event.arguments)
    page = (Path(__file__).parents[3] / "docs" / "fleet-hooks.md").read_text()
    assert f"| `{event.name}` | {names} | {event.description} |" in page


async def test_handlers_hear_the_documented_arguments_in_order(tmp_path):
    fleet = coordinator(tmp_path)
    heard = []
    for hook, names in HOOK_ARGUMENTS.items():
        source = f"lambda {', '.join(names)}: heard.append(({hook.value!r}, {', '.join(names)}))"
        fleet.on(hook, eval(source, {"heard": heard}), plugin="all")  # noqa: S307  our own text
    async with fleet:
        await fleet.submit([spec("a"), spec("b", depends_on=("a",))])
        await until(lambda: ended(fleet, "b"))
        await fleet.hooks_settled()
    assert heard[0] == ("coordinator_startup", fleet)
    assert heard[1][:2] == ("worker_registered", "w0")
    assert heard[1][2]["cpu_cores"] == 64
    tasks = [each for each in heard if each[0].startswith("task_")]
    assert [each[:2] for each in tasks] == [
        ("task_created", "a"), ("task_created", "b"),
        ("task_assigned", "a"), ("task_started", "a"), ("task_completed", "a"),
        ("task_assigned", "b"), ("task_started", "b"), ("task_completed", "b"),
    ]  # fmt: skip
    assert tasks[0][2]["type"] == "command"
    assert tasks[4] == ("task_completed", "a", 1)
    assert heard[-3:] == [
        ("worker_disconnected", "w0"), ("worker_disconnected", "w1"),
        ("coordinator_shutdown", fleet),
    ]  # fmt: skip


async def test_the_first_by_priority_hears_it_first(tmp_path):
    fleet, heard = coordinator(tmp_path), []
    fleet.on("task_created", lambda task_id, data: heard.append("late"), priority=200)
    fleet.on("task_created", lambda task_id, data: heard.append("early"), priority=1)
    async with fleet:
        await fleet.submit([spec("a")])
        await until(lambda: len(heard) == 2)
    assert heard == ["early", "late"]


async def test_a_plugin_that_raises_harms_nobody_and_is_quarantined(tmp_path):
    fleet, heard = coordinator(tmp_path), []

    def broken(task_id, data):
        raise ValueError("broken on purpose")

    fleet.on("task_created", broken, plugin="broken")
    fleet.on("task_created", lambda task_id, data: heard.append(task_id), plugin="fine")
    async with fleet:
        await fleet.submit([spec(f"t{n}") for n in range(10)])
        await until(lambda: len(heard) == 10)
        assert fleet.hooks.counts["broken"].quarantined
        assert fleet.hooks.counts["broken"].calls == 3
        assert fleet.metrics().plugins["broken"]["failures"] == 3
        await until(lambda: ended(fleet, "t9"))


async def test_a_plugin_that_hangs_does_not_hold_the_coordinator_up(tmp_path):
    fleet = coordinator(tmp_path, hook_timeout_s=1_000.0, stop_s=0.5)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def hangs(task_id, data):
        if not begun.is_set():
            begun.set()
            await gate.wait()
            return
        await asyncio.sleep(3600)

    def blocks(task_id, data):
        time.sleep(1.0)

    fleet.on("task_created", hangs, plugin="hangs")
    fleet.on("task_created", blocks, plugin="blocks")
    async with fleet:
        await fleet.submit([spec(f"t{n}") for n in range(100)])
        await fleet.ended([f"t{n}" for n in range(100)])
        await begun.wait()  # all have ended, and it hangs at the first
        fleet._announcer._runner.timeout_s = 0.2
        gate.set()
        await until(lambda: fleet.hooks.counts["hangs"].quarantined)
        await until(lambda: fleet.hooks.counts["blocks"].quarantined)
        assert fleet.hooks.counts["hangs"].timeouts == 3


async def test_the_slowest_is_quarantined_when_too_much_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "WAITING_MAX", 50)
    took = HookTable.took

    def noted(table, handler, seconds):
        """A machine that stands still is no fault of the quick one's."""
        took(table, handler, min(seconds, 0.01) if handler.plugin == "quick" else seconds)

    monkeypatch.setattr(HookTable, "took", noted)
    fleet, heard = coordinator(tmp_path), []

    async def slow(task_id, data):
        await asyncio.sleep(0.3)

    fleet.on("task_created", slow, plugin="slow")
    fleet.on("task_created", lambda task_id, data: heard.append(task_id), plugin="quick")
    async with fleet:
        await fleet.submit([spec(f"t{n}") for n in range(100)])
        await until(lambda: len(heard) == 100)
        assert fleet.hooks.counts["slow"].quarantined
        assert "events up" in fleet.hooks.counts["slow"].last_error
        assert not fleet.hooks.counts["quick"].quarantined
        assert fleet.metrics().untold == 0


async def test_a_burst_is_no_fault_of_quick_plugins(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "WAITING_MAX", 50)
    monkeypatch.setattr(hooks, "SLOW_S", 60.0)  # no call is as slow on any machine
    fleet, heard = coordinator(tmp_path), []
    fleet.on("task_created", lambda task_id, data: heard.append(task_id), plugin="quick")
    async with fleet:
        await fleet.submit([spec(f"t{n}") for n in range(500)])
        await until(lambda: len(heard) == 500)
        assert not fleet.hooks.counts["quick"].quarantined


async def test_what_does_not_fit_any_more_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "WAITING_HARD_MAX", 5)
    fleet = coordinator(tmp_path, hook_timeout_s=60.0)
    gate = asyncio.Event()

    async def waits(task_id, data):
        await gate.wait()

    fleet.on("task_created", waits)
    async with fleet:
        await fleet.submit([spec(f"t{n}") for n in range(20)])
        await fleet.ended([f"t{n}" for n in range(20)])
        await until(lambda: fleet.metrics().untold > 0)
        gate.set()


async def test_events_of_ones_own_are_kept_and_told_in_their_place(tmp_path):
    fleet, heard = coordinator(tmp_path), []
    fleet.on("build_ready", lambda *args: heard.append(args))
    async with fleet:
        await fleet.fire("build_ready", number=7, parts=("a", "b"))
        await fleet.submit([spec("a")])
        await fleet.fire("nobody_listens")
        await fleet.hooks_settled()
        told = {told.name: told for told in await fleet.events()}
        assert told["build_ready"].arguments == {"number": 7, "parts": ["a", "b"]}
        assert told["build_ready"].seq < told["task_created"].seq < told["nobody_listens"].seq
        with pytest.raises(UsageError, match="Only the fleet itself"):
            await fleet.fire("task_created", task_id="a")
        with pytest.raises(UsageError, match="can't be kept"):
            await fleet.fire("build_ready", number=object())
    assert heard == [(7, ["a", "b"])]


async def test_a_handler_with_other_arguments_is_refused(tmp_path):
    with pytest.raises(PluginError, match="expected task_completed"):
        coordinator(tmp_path).on("task_completed", lambda task_id: None)


async def test_plugins_of_a_directory_hear_everything(tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "recorder.py").write_text(PLUGIN)
    host = fleet_host(None, plugins)
    async with coordinator(tmp_path, host=host) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: ended(fleet, "a"))
        await fleet.hooks_settled()
        recorder = fleet.found
        assert recorder.coordinator is fleet
    names = [name for name, _ in recorder.heard]
    assert names[0] == "coordinator_startup"
    assert names[3:7] == ["task_created", "task_assigned", "task_started", "task_completed"]
    assert names[-1] == "shutdown"
    assert ("task_completed", ("a", 1)) in recorder.heard


async def test_a_plugin_that_fails_is_left_out_and_the_coordinator_starts(tmp_path, caplog):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "recorder.py").write_text(PLUGIN.replace("coordinator.found = self", "1 / 0"))
    async with coordinator(tmp_path, host=fleet_host(None, plugins)) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: ended(fleet, "a"))
    assert "is not used" in caplog.text


async def test_what_happened_while_a_worker_was_lost_is_told(tmp_path):
    """Loss and recovery: the worker fails, its task goes to another one."""
    first = []

    def behave(lease, spec):
        if not first:
            first.append(lease)
            return None
        return Outcome(ending=Ending.SUCCEEDED)

    engine, heard = InstantEngine(behave=behave), []
    fleet = coordinator(tmp_path, engine)
    fleet.on("recovery_started", lambda worker_id, task_ids: heard.append((worker_id, task_ids)))
    fleet.on("recovery_completed", lambda worker_id, task_ids: heard.append("done"))
    fleet.on("worker_failed", lambda worker_id, error: heard.append((worker_id, error)))
    async with fleet:
        await fleet.submit([spec("a")])
        await until(lambda: first)
        worker = first[0].worker_id
        engine.say(EngineEvent(kind="worker_died", worker_id=worker, reason="killed by SIGKILL"))
        await until(lambda: ended(fleet, "a"))
        await fleet.hooks_settled()
    assert heard == [(worker, "killed by SIGKILL"), (worker, ("a",)), "done"]
