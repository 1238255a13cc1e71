"""Test classes to inherit: what holds of every service, asked of yours.

    class TestRecordsManager(BaseTestComponentService):
        @pytest.fixture
        def service_class(self):
            return RecordsManager

Override the fixture `configure_message` for a service that needs a plan.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from steelyard.domain.bench.messages import ConfigureRun
from steelyard.kernel.lifecycle import IllegalTransitionError, ServiceState
from steelyard.runtime.bus import BusPort, CommandFailedError, InlineHub
from steelyard.runtime.bus_messages import (
    Heartbeat,
    RegisterService,
    ServiceStatus,
    StartService,
    StopService,
)
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.service import CONTROLLER_TYPE, Peer, Service, ServiceContext
from steelyard.testing.contracts.kit import require

CONTROLLER_ID = f"{CONTROLLER_TYPE}_test"
SERVICE_ID = "service_under_test"
WAIT_S = 5.0
POLL_S = 0.02


class ControllerEnd:
    """The controller's side of the bus: keeps what the service under test tells it."""

    def __init__(self, port: BusPort) -> None:
        self.port = port
        self.heard: list[msgspec.Struct] = []
        self._news = asyncio.Event()
        for message_type in (RegisterService, ServiceStatus):
            port.subscribe(message_type, self._hear)

    async def _hear(self, message: msgspec.Struct) -> None:
        self.heard.append(message)
        self._news.set()

    async def wait_for(self, wanted: Callable[[msgspec.Struct], bool]) -> msgspec.Struct:
        """Return the first message that is wanted, waiting `WAIT_S` for it.

        Raises:
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(WAIT_S):
            while True:
                self._news.clear()
                for message in self.heard:
                    if wanted(message):
                        return message
                await self._news.wait()

    async def wait_for_more(self, parcels: int) -> None:
        """Return when so many more parcels have arrived; heartbeats are counted, not handled.

        Raises:
            TimeoutError: they did not come.
        """
        wanted = self.port.counters.received + parcels
        pause = asyncio.Event()
        async with asyncio.timeout(WAIT_S):
            # Not asyncio.sleep: the fixtures may make that instant, and beats take real time.
            while self.port.counters.received < wanted:
                asyncio.get_running_loop().call_later(POLL_S, pause.set)
                await pause.wait()
                pause.clear()


class BaseTestService:
    """What holds of every service."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def service_class(self) -> type[Service]:
        """The class under test; every subclass gives its own."""
        pytest.fail(f"{type(self).__name__} must override the fixture service_class")

    @pytest.fixture
    def configure_message(self) -> ConfigureRun:
        """What the step configure is given: an empty plan unless overridden."""
        return ConfigureRun({})

    @pytest_asyncio.fixture
    async def hub(self) -> AsyncIterator[InlineHub]:
        """A bus in this process."""
        hub = InlineHub()
        yield hub
        await hub.close()

    @pytest_asyncio.fixture
    async def controller(self, hub: InlineHub) -> ControllerEnd:
        """Who hears of the service's registration, heartbeats and states."""
        return ControllerEnd(hub.connect(CONTROLLER_ID, CONTROLLER_TYPE))

    @pytest_asyncio.fixture
    async def service(
        self,
        service_class: type[Service],
        hub: InlineHub,
        controller: ControllerEnd,
        tmp_path: Path,
    ) -> AsyncIterator[Service]:
        """The service, created and connected; cleaned up after the test where it was not."""
        role = str(service_class.service_type)
        service = service_class.build(
            ServiceContext(
                service_id=SERVICE_ID,
                bus=hub.connect(SERVICE_ID, role),
                clock=SystemClock(),
                peers=(Peer(SERVICE_ID, role, 0),),
                run_dir=tmp_path,
                controller_id=CONTROLLER_ID,
            )
        )
        yield service
        if service.state not in (ServiceState.CLOSED, ServiceState.CREATED):
            service.fail(RuntimeError("the test is over"))
            await service.cleanup()

    async def test_it_states_its_role(self, service: Service) -> None:
        """Class and instance name the same role, and it is not the base class's."""
        role = str(service.service_type)
        require(role == str(type(service).service_type), f"the class says another role: {role}")
        require(role not in ("", Service.service_type), f"{role!r} is no role")

    async def test_it_lives_a_whole_life(
        self, service: Service, configure_message: ConfigureRun
    ) -> None:
        """The six steps in their order lead from created to closed."""
        states = [service.state]
        await service.initialize()
        states.append(service.state)
        await service.run()
        states.append(service.state)
        await service.configure(configure_message)
        states.append(service.state)
        await service.start()
        states.append(service.state)
        await service.stop()
        states.append(service.state)
        await service.cleanup()
        states.append(service.state)
        expected = "created initialized ready configured running stopped closed"
        lived = " ".join(str(state) for state in states)
        require(lived == expected, f"it went through {lived}; expected {expected}")
        require(service.failure is None, f"it failed: {service.failure!r}")

    async def test_a_step_out_of_order_is_refused(self, service: Service) -> None:
        """Starting before configuring changes nothing and says what is legal."""
        await service.initialize()
        await service.run()
        with pytest.raises(IllegalTransitionError, match="configure"):
            await service.start()
        require(service.state is ServiceState.READY, f"the refusal left it {service.state}")

    async def test_it_can_be_stopped_before_it_was_started(self, service: Service) -> None:
        """A run that ends early still ends its services cleanly."""
        await service.initialize()
        await service.run()
        await service.stop()
        await service.cleanup()
        require(service.state is ServiceState.CLOSED, f"it is {service.state}, not closed")

    async def test_it_leaves_no_task_behind(
        self, service: Service, configure_message: ConfigureRun
    ) -> None:
        """After its cleanup nothing of it runs on the loop."""
        before = asyncio.all_tasks()
        await service.initialize()
        await service.run()
        await service.configure(configure_message)
        await service.start()
        await service.stop()
        await service.cleanup()
        for _ in range(10):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - before
        require(not left, f"still running: {left}")


class BaseTestComponentService(BaseTestService):
    """What holds of services that a controller configures and starts."""

    async def test_it_registers_and_sends_heartbeats(
        self, service: Service, controller: ControllerEnd
    ) -> None:
        """From `run` on the controller knows it and hears that it lives."""
        await service.initialize()
        await service.run()
        registered = await controller.wait_for(lambda m: isinstance(m, RegisterService))
        role = str(service.service_type)
        require(getattr(registered, "service_type", "") == role, f"registered as {registered}")
        await controller.wait_for_more(2)

    async def test_it_follows_commands(
        self, service: Service, controller: ControllerEnd, configure_message: ConfigureRun
    ) -> None:
        """Configure, start and stop arrive as commands and are answered when they are done."""
        life = asyncio.ensure_future(service.serve())
        await controller.wait_for(lambda m: isinstance(m, RegisterService))
        for command in (configure_message, StartService(), StopService()):
            await controller.port.command(SERVICE_ID, command, timeout_s=WAIT_S)
        await asyncio.wait_for(life, WAIT_S)
        require(str(service.state) == "closed", f"it is {service.state}, not closed")

    async def test_its_failure_is_told(self, service: Service, controller: ControllerEnd) -> None:
        """A task that raises ends the service, and the controller hears why."""

        async def explode() -> None:
            raise RuntimeError("made to fail")

        life = asyncio.ensure_future(service.serve())
        await controller.wait_for(lambda m: isinstance(m, RegisterService))
        service.spawn(explode())
        with pytest.raises(RuntimeError, match="made to fail"):
            await asyncio.wait_for(life, WAIT_S)
        told = await controller.wait_for(
            lambda m: isinstance(m, ServiceStatus) and m.state == ServiceState.FAILED
        )
        require("made to fail" in getattr(told, "error", ""), f"the reason is not told: {told}")


class BaseTestControllerService(BaseTestService):
    """What holds of services that command others."""

    async def test_its_commands_are_answered(self, service: Service, hub: InlineHub) -> None:
        """What the other side returns comes back."""
        await service.initialize()
        other = hub.connect("other_1", "other")

        async def answer(_: StartService) -> Heartbeat:
            return Heartbeat("other_1", 7)

        other.subscribe(StartService, answer)
        told = await service.bus.command("other_1", StartService(), timeout_s=WAIT_S)
        require(told == Heartbeat("other_1", 7), f"the answer came back as {told}")

    async def test_a_command_to_nobody_fails(self, service: Service) -> None:
        """An unknown target is an error at once, not a timeout."""
        await service.initialize()
        with pytest.raises(CommandFailedError, match="nobody_here"):
            await service.bus.command("nobody_here", StartService(), timeout_s=WAIT_S)
