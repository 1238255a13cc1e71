"""Services with one fault each, over one that does nothing."""

import asyncio
from typing import Any

from steelyard.runtime.service import Service, on_cleanup, on_configure, on_init, on_stop
from steelyard.testing.contracts.service import ServiceSubject


class Idle(Service):
    """Conforms."""

    service_type = "idle"

    @on_configure
    async def _take_plan(self, message: Any) -> None:
        self.plan = message.plan


class NeedsItsPlan(Idle):
    """Reads in `on_stop` what only `on_configure` sets."""

    @on_stop
    async def _report(self) -> None:
        self.seed = self.plan["seed"]


class CleansWhatItNeverMade(Idle):
    """Closes in `on_cleanup` what only `on_init` opens."""

    @on_init
    async def _open(self) -> None:
        self.opened = True

    @on_cleanup
    async def _close(self) -> None:
        self.opened = not self.opened


class LeavesATask(Idle):
    """Starts a task behind the service's back."""

    @on_init
    async def _start_forgotten(self) -> None:
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(3600), name="forgotten")


class AnotherName(Idle):
    """Is not what it is installed as."""

    service_type = "Idle Service"


def _subject(cls: Any) -> ServiceSubject:
    return ServiceSubject(cls, "idle")


HONEST = _subject(Idle)

SABOTEURS = [
    ("test_it_can_end_before_it_was_configured", _subject(NeedsItsPlan)),
    ("test_it_can_be_cleaned_up_unused", _subject(CleansWhatItNeverMade)),
    ("test_it_ends_when_it_is_told_to", _subject(LeavesATask)),
    ("test_its_type_is_its_name", _subject(AnotherName)),
]
