"""A reign ends in an order that plugins can rely on, and leaves nothing at work."""

import asyncio
import threading

import pytest
from fleet_host import coordinator, spec, until
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.app.fleet.reign import Reign
from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, Outcome
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.states import TaskState
from steelyard.kernel.errors import FileError, SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver


class Parting(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
    """Never ends an attempt by itself, and says all that an engine can while it stops."""

    def __init__(self):
        super().__init__(workers=1, behave=lambda lease, spec: None)
        self.is_stopped = False
        self.meanwhile = None

    async def stop(self):
        for lease in self.submitted:
            self.say(EngineEvent(kind="started", lease=lease))
        self.say(EngineEvent(kind="worker_joined", worker_id="late", capabilities=Capabilities()))
        for lease in self.submitted:
            lost = Outcome(ending=Ending.FAILED, error="ended as the engine stopped")
            self.say(EngineEvent(kind="ended", lease=lease, outcome=lost))
        if self.meanwhile is not None:
            await self.meanwhile()
        self.is_stopped = True


async def test_the_shutdown_is_told_last_of_all_whatever_engines_and_users_say_meanwhile(tmp_path):
    engine, heard, tasks = Parting(), [], []
    fleet = coordinator(tmp_path, engine)

    async def hear(event, arguments):
        heard.append(event)
        if event == "coordinator_shutdown":
            (shown,) = arguments
            tasks.extend([engine.is_stopped, (await shown.task("held")).state])

    async def meanwhile():
        await fleet.submit([spec("late")])

    engine.meanwhile = meanwhile
    fleet.listen(hear)
    async with fleet:
        await fleet.submit([spec("held")])
        await until(lambda: engine.submitted)
        # As an engine does whose worker began just now: this is on its way when the end begins.
        engine.say(EngineEvent(kind="started", lease=engine.submitted[0]))
    assert tasks == [True, TaskState.PENDING], "engines have stopped, and the task went back"
    assert heard[-1] == "coordinator_shutdown"
    assert heard.count("worker_registered") == 1, "who comes while all stop is not taken in"
    assert heard.count("worker_disconnected") == 1
    assert heard.count("task_created") == 2, "what is submitted meanwhile is kept and told before"
    assert "task_failed" not in heard


async def test_what_a_task_is_told_to_do_after_the_shutdown_is_refused(tmp_path):
    fleet = coordinator(tmp_path)
    refused = []

    async def hear(event, arguments):
        if event == "coordinator_shutdown":
            with pytest.raises(SteelyardError) as caught:
                await fleet.submit([spec("late")])
            refused.append(str(caught.value))

    fleet.listen(hear)
    async with fleet:
        await fleet.submit([spec("t")])
        await fleet.ended(["t"])
    assert len(refused) == 1


async def test_a_start_that_is_cancelled_stops_its_engines(tmp_path):
    """Its loop must not go on as a ghost that holds workers and their directory."""

    class Slow(InstantEngine):  # type: ignore[misc]
        is_begun = is_stopped = False

        async def start(self):
            self.is_begun = True
            await asyncio.Event().wait()

        async def stop(self):
            self.is_stopped = True

    engine = Slow()
    fleet = coordinator(tmp_path, engine)
    starting = asyncio.create_task(fleet.start())
    await until(lambda: engine.is_begun)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert engine.is_stopped


async def test_who_asks_as_the_lead_fails_hears_why():
    """What renews it may find the disk full before the loop does."""
    begun, go = threading.Event(), threading.Event()

    class Slow(MemoryLedger):  # type: ignore[misc]  # support modules are Any to mypy
        def commit(self, change):
            begun.set()
            go.wait(60)

    async def listen(item):
        """Nobody listens."""

    async def renew():
        await asyncio.to_thread(begun.wait, 60)
        raise FileError("The disk is full")

    driver = FleetDriver(Fleet(), Slow(), FirstCome(), {}, listen, SystemClock())
    reign = Reign(driver, {}, None, [renew()])
    asked = asyncio.create_task(driver.tell(Submitted((spec("t"),))))
    try:
        with pytest.raises(FileError, match="disk is full"):
            await reign.lasts()
        with pytest.raises(FileError, match="disk is full"):
            await asked
    finally:
        go.set()
