"""A loop that ends lets go of its engines, whatever happens meanwhile."""

import asyncio

import pytest
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import TaskSpec
from steelyard.kernel.errors import FileError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import engine_room
from steelyard.runtime.fleet.driver import FleetDriver


class Slow(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
    """Takes its time to stop, as one does whose attempts are ended first."""

    stopped = False

    def __init__(self):
        super().__init__()
        self.stopping, self.go = asyncio.Event(), asyncio.Event()

    async def stop(self):
        self.stopping.set()
        await self.go.wait()
        await super().stop()
        self.stopped = True


class Full(MemoryLedger):  # type: ignore[misc]
    """Has no room left."""

    is_full = False

    def commit(self, change):
        if self.is_full:
            raise FileError("The disk is full")
        super().commit(change)


async def test_an_engine_is_stopped_whole_though_its_loop_is_cancelled_amid_its_end():
    """A commit fails and a renewal of the lead right after: the next reign needs the directory."""
    engine, ledger = Slow(), Full()

    async def listen(item):
        """Nobody listens."""

    driver = FleetDriver(
        Fleet(), ledger, FirstCome(), {"instant": engine}, listen, SystemClock()
    )  # fmt: skip
    running = asyncio.create_task(driver.run())
    await driver.ready.wait()
    ledger.is_full = True
    with pytest.raises(FileError):
        await driver.tell(Submitted((TaskSpec(task_id="t", kind="command"),)))
    async with asyncio.timeout(30):
        await engine.stopping.wait()
    running.cancel()
    for _ in range(20):  # it hears of that
        await asyncio.sleep(0)
    assert not running.done()
    engine.go.set()
    await asyncio.gather(running, return_exceptions=True)
    assert engine.stopped


class Hangs(InstantEngine):  # type: ignore[misc]
    """Takes an attempt only when it is let; brings two slots."""

    def __init__(self):
        super().__init__(workers=1, slots=2)
        self.go, self.given_up, self.called = asyncio.Event(), asyncio.Event(), []

    async def submit(self, lease, spec):
        self.called.append(spec.task_id)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise


async def test_what_waits_for_its_engine_as_the_lead_is_lost_is_not_begun(monkeypatch):
    """Whoever hears of what happened may take long; another coordinator may lead by then."""
    monkeypatch.setattr(engine_room, "CALL_WITHIN_S", 1_000.0)  # it is not given up for that
    engine, ledger, heard = Hangs(), Full(), asyncio.Event()

    async def listen(item):
        await heard.wait()

    driver = FleetDriver(
        Fleet(), ledger, FirstCome(), {"hangs": engine}, listen, SystemClock()
    )  # fmt: skip
    running = asyncio.create_task(driver.run())
    await driver.ready.wait()
    tasks = tuple(TaskSpec(task_id=name, kind="command") for name in ("a", "b"))
    await driver.tell(Submitted(tasks))
    async with asyncio.timeout(30):
        while not engine.called:
            await asyncio.sleep(0.005)
    ledger.is_full = True
    with pytest.raises(FileError):
        await driver.tell(Submitted((TaskSpec(task_id="c", kind="command"),)))
    try:
        async with asyncio.timeout(30):
            await engine.given_up.wait()
    finally:
        engine.go.set()
        heard.set()
        await asyncio.gather(running, return_exceptions=True)
    assert engine.called == ["a"]
