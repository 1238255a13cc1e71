"""A service: its steps, hooks, tasks and messages, on an inline bus."""

import asyncio
import logging

import pytest

from steelyard.domain.bench.messages import ConfigureRun, FlushRecords, StopRun, WorkersReady
from steelyard.kernel.lifecycle import IllegalTransitionError, ServiceState
from steelyard.runtime.bus import CommandFailedError, InlineHub
from steelyard.runtime.bus_messages import RegisterService, ServiceStatus, StartService, StopService
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.service import (
    Service,
    ServiceContext,
    on_cleanup,
    on_configure,
    on_init,
    on_message,
    on_start,
    on_stop,
)
from steelyard.runtime.service_log import LazyLogger


class Parent(Service):
    service_type = "child"

    def __init__(self, context):
        super().__init__(context)
        self.calls = []

    @on_init
    async def _init(self):
        self.calls.append("parent init")

    @on_cleanup
    async def _cleanup(self):
        self.calls.append("parent cleanup")


class Slow(Service):
    service_type = "child"

    def __init__(self, context):
        super().__init__(context)
        self.may_end = asyncio.Event()

    @on_stop
    async def _stop(self):
        await self.may_end.wait()


class Child(Parent):
    @on_init
    async def _more_init(self):
        self.calls.append("child init")

    @on_configure
    async def _configure(self, message):
        self.calls.append(f"configure {message.plan}")

    @on_start
    async def _start(self):
        self.calls.append("start")

    @on_stop
    async def _stop(self):
        self.calls.append("stop")

    @on_cleanup
    async def _more_cleanup(self):
        self.calls.append("child cleanup")

    @on_message(FlushRecords)
    async def _answer(self, message):
        return StopRun(drain=True)


class Net:
    """A controller's port, what it was told, and services beside it."""

    def __init__(self):
        self.hub = InlineHub()
        self.port = self.hub.connect("ctl", "system_controller")
        self.told = []
        for message_type in (RegisterService, ServiceStatus):
            self.port.subscribe(message_type, self._tell)

    async def _tell(self, message):
        self.told.append(message)

    def add(self, cls, service_id="c1"):
        port = self.hub.connect(service_id, cls.service_type)
        context = ServiceContext(
            service_id=service_id, bus=port, clock=SystemClock(), controller_id="ctl"
        )
        return cls(context)

    async def all_told(self):
        """Wait until the last word of a service, which it says before it is over, was heard."""
        async with asyncio.timeout(60):
            while ServiceState.CLOSED not in [getattr(each, "state", "") for each in self.told]:
                await asyncio.sleep(0.001)
        return self.told

    async def errors(self):
        return [each.error for each in await self.all_told() if getattr(each, "error", "")]


@pytest.fixture
async def net():
    network = Net()
    yield network
    await network.hub.close()


async def reach(service, state):
    async with asyncio.timeout(60):
        while True:
            if service.state is state:
                return
            await asyncio.sleep(0.001)


async def test_commands_lead_a_service_through_its_life_and_hooks_run_in_order(net):
    service = net.add(Child)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    command = net.port.command
    await command("c1", ConfigureRun({"seed": 1}), timeout_s=60)
    await command("c1", StartService(), timeout_s=60)
    assert service.state is ServiceState.RUNNING
    assert await command("child", FlushRecords(), timeout_s=60) == StopRun(drain=True)
    await command("c1", StopService(), timeout_s=60)
    await asyncio.wait_for(life, 60)
    assert service.calls == [
        "parent init", "child init", "configure {'seed': 1}", "start", "stop",
        "child cleanup", "parent cleanup",
    ]  # fmt: skip
    told = [getattr(message, "state", "registered") for message in await net.all_told()]
    assert told == [
        "initializing", "initialized", "ready", "registered", "configuring", "configured",
        "starting", "running", "stopping", "stopped", "cleaning", "closed",
    ]  # fmt: skip


async def test_a_step_out_of_order_is_refused_and_changes_nothing(net):
    service = net.add(Child)
    with pytest.raises(IllegalTransitionError, match="c1 can't start while it is created"):
        await service.start()
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    with pytest.raises(CommandFailedError, match="IllegalTransitionError: c1 can't start while"):
        await net.port.command("c1", StartService(), timeout_s=60)
    assert service.state is ServiceState.READY
    service.request_stop()
    await asyncio.wait_for(life, 60)
    assert service.state is ServiceState.CLOSED
    assert await net.errors() == []


async def test_a_service_without_a_controller_configures_and_starts_itself(net):
    port = net.hub.connect("solo", "child")
    service = Child(ServiceContext(service_id="solo", bus=port, clock=SystemClock()))
    life = asyncio.ensure_future(service.serve(ConfigureRun({})))
    await reach(service, ServiceState.RUNNING)
    service.request_stop()
    await asyncio.wait_for(life, 60)
    assert service.calls[2:5] == ["configure {}", "start", "stop"]


class Boom(Child):
    """Raises where its options say."""

    async def _boom(self):
        raise ValueError(f"boom in {self.where}")

    where = ""

    @on_init
    async def _b_init(self):
        if self.where == "init":
            await self._boom()

    @on_start
    async def _b_start(self):
        if self.where == "start":
            await self._boom()
        if self.where == "task":
            self.spawn(self._boom())

    @on_stop
    async def _b_stop(self):
        if self.where == "stop":
            await self._boom()

    @on_message(WorkersReady)
    async def _b_message(self, message):
        await self._boom()


@pytest.mark.parametrize("where", ["init", "start", "task", "message", "stop"])
async def test_an_error_anywhere_ends_the_service_cleaned_up_and_told_to_the_controller(net, where):
    service = net.add(Boom)
    service.where = where
    life = asyncio.ensure_future(service.serve())
    if where != "init":
        await reach(service, ServiceState.READY)
        await net.port.command("c1", ConfigureRun({}), timeout_s=60)
        if where == "start":
            with pytest.raises(CommandFailedError, match="boom in start"):
                await net.port.command("c1", StartService(), timeout_s=60)
        else:
            await net.port.command("c1", StartService(), timeout_s=60)
    if where == "message":
        await net.port.send("c1", WorkersReady(()))
    if where == "stop":
        service.request_stop()
    with pytest.raises(ValueError, match="boom in"):
        await asyncio.wait_for(life, 60)
    assert service.calls[-2:] == ["child cleanup", "parent cleanup"]
    errors = await net.errors()
    assert errors
    assert all(error.startswith("ValueError: boom in") for error in errors)
    assert "in _boom)" in errors[0]


async def test_a_stop_cuts_a_step_under_way_short(net):
    class Slow(Child):
        @on_configure
        async def _hang(self, message):
            await asyncio.Event().wait()

    service = net.add(Slow)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    configuring = asyncio.ensure_future(net.port.command("c1", ConfigureRun({}), timeout_s=60))
    await reach(service, ServiceState.CONFIGURING)
    await net.port.command("c1", StopService(), timeout_s=60)
    with pytest.raises(CommandFailedError, match="the service is stopping"):
        await asyncio.wait_for(configuring, 30)
    await asyncio.wait_for(life, 60)
    assert service.state is ServiceState.CLOSED


async def test_a_stop_during_initialize_is_heeded(net):
    class Slow(Child):
        @on_init
        async def _hang(self):
            await asyncio.Event().wait()

    service = net.add(Slow)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.INITIALIZING)
    service.request_stop()
    await asyncio.wait_for(life, 60)
    assert service.state is ServiceState.CLOSED


async def test_a_cleanup_that_hangs_is_given_up_and_said(net, monkeypatch):
    monkeypatch.setattr("steelyard.runtime.service.CLEANUP_TIMEOUT_S", 0.05)

    class Stuck(Child):
        @on_cleanup
        async def _hang(self):
            await asyncio.Event().wait()

    service = net.add(Stuck)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    service.request_stop()
    with pytest.raises(TimeoutError, match="c1 took over 0.05 s to end"):
        await asyncio.wait_for(life, 60)


async def test_spawned_tasks_are_cancelled_and_awaited_at_the_stop(net):
    class Worker(Child):
        @on_start
        async def _go(self):
            self.spawn(self._work())

        async def _work(self):
            try:
                await asyncio.Event().wait()
            finally:
                self.calls.append("work ended")

    service = net.add(Worker)
    life = asyncio.ensure_future(service.serve(ConfigureRun({})))
    await reach(service, ServiceState.RUNNING)
    await asyncio.sleep(0)
    service.request_stop()
    await asyncio.wait_for(life, 60)
    assert service.calls[-4:] == ["stop", "work ended", "child cleanup", "parent cleanup"]


async def test_an_override_replaces_the_hook_it_overrides(net):
    class Quiet(Child):
        @on_init
        async def _init(self):
            self.calls.append("own init")

    service = net.add(Quiet)
    await service.initialize()
    assert service.calls == ["own init", "child init"]
    await service.stop()
    await service.cleanup()


def test_a_lazy_message_is_made_only_when_its_level_is_on(caplog):
    made = []

    def message():
        made.append(1)
        return "costly %s"

    log = LazyLogger(logging.getLogger("steelyard.test"))
    with caplog.at_level(logging.INFO, "steelyard.test"):
        log.debug(message)
        assert made == []
        log.info(message)
    assert made == [1]
    assert caplog.messages == ["costly %s"]
    assert caplog.records[0].funcName == "test_a_lazy_message_is_made_only_when_its_level_is_on"


async def test_a_stop_command_after_a_stop_by_signal_is_no_failure(net):
    """Both come when a whole process group is told to end."""
    service = net.add(Slow)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    service.request_stop()
    await reach(service, ServiceState.STOPPING)
    command = asyncio.ensure_future(net.port.command("c1", StopService(), timeout_s=60))
    for _ in range(100):  # until it is there
        await asyncio.sleep(0)
    service.may_end.set()
    await command
    await asyncio.wait_for(life, 60)
    assert service.failure is None


async def test_a_stop_by_signal_amid_a_stop_command_is_no_failure(net):
    service = net.add(Slow)
    life = asyncio.ensure_future(service.serve())
    await reach(service, ServiceState.READY)
    command = asyncio.ensure_future(net.port.command("c1", StopService(), timeout_s=60))
    await reach(service, ServiceState.STOPPING)
    service.request_stop()
    for _ in range(100):  # until it has come to its end
        await asyncio.sleep(0)
    service.may_end.set()
    await command
    await asyncio.wait_for(life, 60)
    assert service.failure is None
