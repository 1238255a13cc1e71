"""Services written the way documents 001 and 002 show them."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from pydantic import Field

from steelyard.app.composition import standard_host
from steelyard.dialects.aiperf.common.config.loader import load_service_config
from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig
from steelyard.dialects.aiperf.common.enums import MessageType, ServiceRunType, ServiceType
from steelyard.dialects.aiperf.common.factories import ServiceFactory
from steelyard.dialects.aiperf.common.hooks import (
    on_cleanup,
    on_configure,
    on_init,
    on_message,
    on_start,
    on_stop,
)
from steelyard.dialects.aiperf.common.messages import Message, MessageTypeT
from steelyard.dialects.aiperf.common.models import AIPerfBaseModel, BasePayload, ErrorDetails
from steelyard.dialects.aiperf.common.service.base_component_service import BaseComponentService
from steelyard.dialects.aiperf.common.service.base_controller_service import BaseControllerService
from steelyard.dialects.aiperf.common.service.base_service import BaseService
from steelyard.dialects.aiperf.common.service.base_service_interface import BaseServiceInterface
from steelyard.domain.bench.messages import ConfigureRun, PhaseStarted, PhaseStats
from steelyard.kernel.errors import UsageError
from steelyard.runtime.bus import CommandFailedError, InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.service import ServiceContext
from steelyard.testing.services import (
    BaseTestComponentService,
    BaseTestControllerService,
    BaseTestService,
)


class RecordsManager(BaseComponentService):
    """The guide's records manager, telling what happened to it."""

    def __init__(self, service_config: ServiceConfig, service_id: str | None = None) -> None:
        super().__init__(service_config=service_config, service_id=service_id)
        self.logger.debug("Initializing records manager")
        self.told: list[object] = []

    @property
    def service_type(self) -> ServiceType:
        """The type of service."""
        return ServiceType.RECORDS_MANAGER

    @on_init
    async def _initialize(self) -> None:
        self.told.append("init")

    @on_start
    async def _start(self) -> None:
        self.told.append("start")

    @on_stop
    async def _stop(self) -> None:
        self.told.append("stop")

    @on_cleanup
    async def _cleanup(self) -> None:
        self.told.append("cleanup")

    @on_configure
    async def _configure(self, payload: BasePayload) -> None:
        self.logger.debug("Configuring records manager with payload: %s", payload)
        self.told.append(payload.data)


class Controller(BaseControllerService):
    """A controller that only commands."""

    @property
    def service_type(self) -> ServiceType:
        """The type of service."""
        return ServiceType.SYSTEM_CONTROLLER


class Record(AIPerfBaseModel):
    """Document 002's record."""

    ts_ns: int = Field(description="Timestamp in nanoseconds")
    value: float = Field(description="Measured value")


class MyMsg(Message):
    """Document 002's message."""

    message_type: MessageTypeT = MessageType.MY_MSG
    data: list[Record] = Field(description="Records to process")


class ResponseMsg(Message):
    """What comes back."""

    message_type: MessageTypeT = MessageType.RESPONSE
    data: list[Record] = Field(default_factory=list, description="The records that came")
    error: ErrorDetails | None = Field(default=None, description="What went wrong")


class MyService(BaseComponentService):
    """Document 002's service: a handler that publishes."""

    service_type = "my_service"

    @on_message(MessageType.MY_MSG)
    async def _handle(self, msg: MyMsg) -> None:
        await self.publish(ResponseMsg(data=msg.data))

    @on_message("ask")
    async def _answer(self, msg: Message) -> ResponseMsg:
        try:
            number = int(msg.model_dump()["thing"])
        except ValueError as e:
            self.error(f"Operation failed: {e!r}")
            return ResponseMsg(error=ErrorDetails.from_exception(e))
        return ResponseMsg(data=[Record(ts_ns=number, value=0.0)])

    @on_message(PhaseStarted)
    async def _phase(self, message: PhaseStarted) -> None:
        self.phase = message.stats.phase


class Listener(BaseService):
    """Keeps what it hears."""

    service_type = "listener"

    @on_init
    async def _initialize(self) -> None:
        self.heard: list[ResponseMsg] = []
        self.came = asyncio.Event()

    @on_message(MessageType.RESPONSE)
    async def _hear(self, msg: ResponseMsg) -> None:
        self.heard.append(msg)
        self.came.set()


class TestRecordsManager(BaseTestComponentService):
    """The guide's service passes the component kit."""

    @pytest.fixture
    def service_class(self):
        return RecordsManager

    async def test_hooks_are_called_in_order(self, service):
        """Each decorator's method once, in the order of a life, with the plan as payload."""
        await service.initialize()
        await service.run()
        await service.configure(ConfigureRun({"seed": 42}))
        await service.start()
        await service.stop()
        await service.cleanup()
        assert service.told == ["init", {"seed": 42}, "start", "stop", "cleanup"]


class TestMyService(BaseTestService):
    """A plain attribute works as role too."""

    @pytest.fixture
    def service_class(self):
        return MyService


class TestController(BaseTestControllerService):
    """A controller passes the controller kit."""

    @pytest.fixture
    def service_class(self):
        return Controller


def build(cls, hub, service_id):
    role = str(cls.service_type)
    return cls.build(
        ServiceContext(
            service_id=service_id, bus=hub.connect(service_id, role), clock=SystemClock()
        )
    )


@pytest.fixture
async def hub():
    hub = InlineHub()
    yield hub
    await hub.close()


@pytest.fixture
async def pair(hub):
    """A service and a listener on one bus."""
    services = [build(MyService, hub, "my_1"), build(Listener, hub, "listener_1")]
    for service in services:
        await service.initialize()
    return services


async def test_a_typed_message_reaches_its_handlers_as_its_class(pair, hub):
    """Published by one, handled as `MyMsg`, answered by a publication that the other hears."""
    _, listener = pair
    await listener.publish(MyMsg(data=[Record(ts_ns=1, value=2.5)]))
    await asyncio.wait_for(listener.came.wait(), 60)
    assert listener.heard == [ResponseMsg(data=[Record(ts_ns=1, value=2.5)])]


async def test_a_command_brings_its_answer_with_an_error_inside(pair, hub):
    """`ErrorDetails` travel as data."""
    controller = build(Controller, hub, "controller_1")
    answer = await controller.send_command("my_1", Message(message_type="ask", thing="record"))
    assert answer.error["type"] == "ValueError"
    assert "'record'" in answer.error["message"]


async def test_a_malformed_message_fails_the_command_only(pair, hub):
    """What isn't a `MyMsg` is refused by its fields; the service goes on."""
    service, _ = pair
    controller = build(Controller, hub, "controller_1")
    with pytest.raises(CommandFailedError, match="data"):
        await controller.send_command("my_1", Message(message_type=MessageType.MY_MSG))
    assert service.failure is None


async def test_messages_of_the_core_are_heard_too(pair):
    """`on_message` takes the core's own types."""
    service, listener = pair
    await listener.publish(PhaseStarted(PhaseStats(phase="warmup", phase_index=0)))
    async with asyncio.timeout(60):
        while not hasattr(service, "phase"):
            await asyncio.sleep(0.01)
    assert service.phase == "warmup"


def test_a_service_can_be_made_from_its_config_alone():
    """As the guide does: config, and an id or none."""
    service = RecordsManager(ServiceConfig(), "records_1")
    assert service.service_id == "records_1"
    assert RecordsManager(ServiceConfig()).service_id.startswith("records_manager_")
    assert isinstance(service, BaseServiceInterface)


def test_the_config_example():
    """`ServiceConfig(service_run_type=ServiceRunType.MULTIPROCESSING)`, typos refused."""
    config = ServiceConfig(service_run_type=ServiceRunType.MULTIPROCESSING)
    assert config.service_run_type == "process"
    with pytest.raises(ValueError, match="service_run_typ"):
        ServiceConfig(service_run_typ="process")  # type: ignore[call-arg]


def test_the_environment_overrides_settings():
    """`STEELYARD_*` fill the config; a wrong run type is told."""
    config = load_service_config({"STEELYARD_RUN_TYPE": "inline", "STEELYARD_LOG_LEVEL": "DEBUG"})
    assert (config.service_run_type, config.log_level) == (ServiceRunType.INLINE, "DEBUG")
    assert load_service_config({}) == ServiceConfig()
    with pytest.raises(UsageError, match="STEELYARD_RUN_TYPE"):
        load_service_config({"STEELYARD_RUN_TYPE": "threads"})


def test_names_of_roles_are_forgiving():
    """Any case; the guide's `dataset` is the dataset manager."""
    assert ServiceType("dataset") is ServiceType.DATASET_MANAGER
    assert ServiceType("Records-Manager") is ServiceType.RECORDS_MANAGER
    with pytest.raises(ValueError, match="nobody"):
        ServiceType("nobody")


def test_message_types_are_open_and_typos_are_not_attributes():
    """Names in capitals are message types; other attributes don't exist."""
    assert MessageType.MY_MSG == "my_msg"
    assert MessageType.MY_MSG.name == "MY_MSG"
    with pytest.raises(AttributeError, match="CAPITALS"):
        _ = MessageType.my_msg


def test_the_factory_replaces_a_role_and_keeps_its_place():
    """A registered class is what the next run starts; order and facts are those of the former."""
    former = standard_host().spec("service", "records_manager")
    registered = ServiceFactory.register(ServiceType.RECORDS_MANAGER)(RecordsManager)
    assert registered is RecordsManager
    spec = standard_host().spec("service", "records_manager")
    assert spec.target == f"{__name__}:RecordsManager"
    assert (spec.priority, spec.metadata["required"]) == (former.priority, True)
    assert ServiceFactory.get_class(ServiceType.RECORDS_MANAGER) is RecordsManager
    made = ServiceFactory.create_instance(ServiceType.RECORDS_MANAGER, ServiceConfig(), "r_1")
    assert isinstance(made, RecordsManager)
    assert made.service_id == "r_1"


def test_a_role_of_ones_own_is_added():
    """A new name joins the services with the facts it states."""
    ServiceFactory.register("my_service", required=False, auto_start=True)(MyService)
    spec = standard_host().spec("service", "my_service")
    assert spec.metadata == {"required": False, "auto_start": True}


def test_expensive_log_messages_are_made_only_when_kept(caplog):
    """A callable isn't called below the level."""
    service = RecordsManager(ServiceConfig(), "records_1")
    calls: list[int] = []

    def expensive() -> str:
        calls.append(1)
        return "Processing 3 items"

    caplog.set_level(logging.INFO)
    service.debug(expensive)
    assert calls == []
    caplog.set_level(logging.DEBUG)
    service.debug(expensive)
    service.info("Starting service")
    service.warning(lambda: "odd")
    assert calls == [1]
    assert caplog.messages == ["Processing 3 items", "Starting service", "odd"]


SCRIPT = """
    import sys
    from steelyard.dialects.aiperf.common.bootstrap import bootstrap_and_run_service
    from steelyard.dialects.aiperf.common.enums import ServiceType
    from steelyard.dialects.aiperf.common.hooks import on_cleanup, on_start
    from steelyard.dialects.aiperf.common.service.base_component_service import (
        BaseComponentService,
    )

    class RecordsManager(BaseComponentService):
        @property
        def service_type(self):
            return ServiceType.RECORDS_MANAGER

        @on_start
        async def _start(self):
            import setproctitle
            print("started", setproctitle.getproctitle(), flush=True)

        @on_cleanup
        async def _cleanup(self):
            print("cleaned up", flush=True)

    def main() -> None:
        bootstrap_and_run_service(RecordsManager)

    if __name__ == "__main__":
        sys.exit(main())
"""


def test_bootstrap_runs_a_titled_service_until_it_is_told_to_stop(tmp_path):
    """The guide's `main`: the process is named after its service id and ends cleanly on SIGTERM."""
    script = tmp_path / "records.py"
    script.write_text(textwrap.dedent(SCRIPT))
    child = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        started = child.stdout.readline().split()
        assert started[:2] == ["started", "steelyard"]
        assert started[2].startswith("records_manager_")
        os.kill(child.pid, signal.SIGTERM)
        out, _ = child.communicate(timeout=100)
    finally:
        child.kill()
        child.wait()
    assert "cleaned up" in out
    assert child.returncode == 0
