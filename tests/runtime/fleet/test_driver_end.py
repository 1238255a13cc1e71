"""A loop that ends lets go of its engines, whatever happens meanwhile."""

import asyncio

import pytest
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.domain.fleet.events import Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import TaskSpec
from steelyard.kernel.errors import FileError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver


class Slow(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
    """Takes its time to stop, as one does whose attempts are ended first."""

    stopped = False

    async def stop(self):
        await asyncio.sleep(0.2)
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
    await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert engine.stopped
