"""The contract of a service: named, startable in any order, and gone when it is told to go."""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.lifecycle import ServiceState
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.service import Service, ServiceContext
from steelyard.testing.contracts.kit import Contract, require

_LIFE_S_MAX = 15.0
_TYPE = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class ServiceSubject:
    """A service; `name` is the plugin's, which its `service_type` must be."""

    cls: type[Any]
    name: str


def _live(cls: type[Service], life: Callable[[Service], Coroutine[Any, Any, None]]) -> Service:
    """Have `life` happen to a new service on an inline bus, on a loop in a thread of its own."""
    box: list[Service | SteelyardError] = []

    async def main() -> None:
        hub = InlineHub()
        port = hub.connect(f"{cls.service_type}_0", cls.service_type)
        context = ServiceContext(service_id=f"{cls.service_type}_0", bus=port, clock=SystemClock())
        service = cls.build(context)
        try:
            await asyncio.wait_for(life(service), _LIFE_S_MAX)
        finally:
            await hub.close()
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        await asyncio.sleep(0)
        alive = [t.get_name() for t in left if not t.done()]
        require(not alive, f"tasks are left behind: {', '.join(alive)}")
        box.append(service)

    def work() -> None:
        try:
            with PluginBorder().crossing(cls.__name__, "live"):
                asyncio.run(main())
        except SteelyardError as error:
            box.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(2 * _LIFE_S_MAX)
    require(box, "the service did not come to an end")
    if isinstance(box[0], SteelyardError):
        raise AssertionError(str(box[0])) from box[0].__cause__  # noqa: TRY004  a failed claim
    return box[0]


async def _unconfigured(service: Service) -> None:
    await service.initialize()
    await service.run()
    await service.stop()
    await service.cleanup()


async def _told_to_go(service: Service) -> None:
    asyncio.get_running_loop().call_later(0.05, service.request_stop)
    await service.serve()


async def _never_begun(service: Service) -> None:
    await service.cleanup()


class ServiceContract(Contract):
    """Inherit, and override `subject` with a `ServiceSubject`."""

    kind = "service"

    def test_its_type_is_its_name(self, subject: ServiceSubject) -> None:
        """Messages find it, and `pgrep` shows it, under the name it is installed as."""
        service_type = getattr(subject.cls, "service_type", None)
        require(isinstance(service_type, str), f"service_type is {service_type!r}")
        require(_TYPE.match(str(service_type)), f"service_type {service_type!r} is not snake_case")
        require(
            service_type == subject.name, f"service_type {service_type!r}, not {subject.name!r}"
        )

    def test_it_can_end_before_it_was_configured(self, subject: ServiceSubject) -> None:
        """Another role failed early: this one stops and cleans up all the same."""
        service = _live(subject.cls, _unconfigured)
        require(service.state is ServiceState.CLOSED, f"it is {service.state}, not closed")

    def test_it_ends_when_it_is_told_to(self, subject: ServiceSubject) -> None:
        """`request_stop` ends `serve`, and nothing of it is left running."""
        service = _live(subject.cls, _told_to_go)
        require(service.state is ServiceState.CLOSED, f"it is {service.state}, not closed")

    def test_it_can_be_cleaned_up_unused(self, subject: ServiceSubject) -> None:
        """A service that never began has nothing to trip over."""
        service = _live(subject.cls, _never_begun)
        require(service.state is ServiceState.CLOSED, f"it is {service.state}, not closed")
