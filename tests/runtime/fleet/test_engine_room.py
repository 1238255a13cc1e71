"""Engines are called in order, each within bounds, and none holds up the loop or another one."""

import asyncio

import pytest
from fleet_rig import FirstCome, InstantEngine, MemoryLedger

from steelyard.domain.fleet.events import CancelAsked, Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Ending, TaskSpec
from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import engine_room
from steelyard.runtime.fleet.driver import FleetDriver


class Hangs(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
    """Hangs in its submit; what is called and what is given up is noted. One worker, `stuck`."""

    def __init__(self, *, stops=True):
        super().__init__(workers=1)
        self.stops, self.called, self.given_up = stops, [], []
        self.go = asyncio.Event()

    async def start(self):
        return [("stuck", Capabilities(cpu_cores=64), 1)]

    async def submit(self, lease, spec):
        await self.hang("submit", lease)

    async def cancel(self, lease):
        self.called.append(("cancel", lease.task_id))

    async def stop(self):
        if not self.stops:
            await self.hang("stop", None)

    async def hang(self, name, lease):
        self.called.append((name, lease.task_id if lease else ""))
        try:
            await self.go.wait()
        finally:
            self.given_up.append(name)


def spec(name, worker):
    return TaskSpec(
        task_id=name, kind="command", losses_max=0, requirements=Requirements(worker=worker)
    )


async def running(**engines):
    """Return a driver, its ledger and its task, once its engines have begun."""
    ledger = MemoryLedger()

    async def listen(item):
        """Nobody listens."""

    driver = FleetDriver(Fleet(), ledger, FirstCome(), engines, listen, SystemClock())
    task = asyncio.create_task(driver.run())
    await driver.ready.wait()
    return driver, ledger, task


async def over(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_engine_that_hangs_keeps_no_other_engines_tasks_and_no_question_waiting(
    monkeypatch,
):
    monkeypatch.setattr(engine_room, "CALL_WITHIN_S", 1_000.0)  # which nobody is to wait for
    driver, ledger, task = await running(hangs=Hangs(), fine=InstantEngine())
    hung = driver.fleet.book.workers["stuck"]
    await driver.tell(Submitted((spec("held", "stuck"),)))
    await until(lambda: hung.holds)
    await driver.tell(Submitted((spec("other", "w0"),)))
    await until(lambda: ledger.state("other") == "completed")
    await driver.tell(CancelAsked("held"))
    assert ledger.state("held") == "cancelled"
    await over(task)


async def test_an_attempt_that_its_engine_does_not_take_in_time_is_refused_by_its_name(
    monkeypatch,
):
    monkeypatch.setattr(engine_room, "CALL_WITHIN_S", 0.05)
    engine = Hangs()
    driver, ledger, task = await running(hangs=engine)
    await driver.tell(Submitted((spec("t", "stuck"),)))
    await until(lambda: ledger.attempts)
    outcome = ledger.attempts[0].outcome
    assert outcome.ending is Ending.REFUSED
    assert outcome.error == (
        "Plugin engine 'hangs' took longer than 0.05 s to take an attempt. See whether what it "
        "talks to answers; its author can bound that."
    )
    # It may have begun all the same, and is told to end that; before it is asked again.
    await until(lambda: ("cancel", "t") in engine.called)
    assert engine.called[:2] == [("submit", "t"), ("cancel", "t")]
    await over(task)


async def test_an_attempt_that_was_taken_back_meanwhile_is_not_begun():
    engine = Hangs()

    async def start():
        return [("stuck", Capabilities(cpu_cores=64), 2)]

    engine.start = start
    driver, ledger, task = await running(hangs=engine)
    await driver.tell(Submitted((spec("first", "stuck"), spec("second", "stuck"))))
    await until(lambda: engine.called == [("submit", "first")])
    await driver.tell(CancelAsked("second"))
    engine.go.set()
    await until(lambda: ("cancel", "second") in engine.called)
    assert ("submit", "second") not in engine.called
    assert ledger.state("second") == "cancelled"
    book = driver.fleet.book
    await until(lambda: "second" not in book.workers["stuck"].holds.values())
    await over(task)


async def test_an_engine_that_does_not_stop_is_left_and_named(monkeypatch, caplog):
    monkeypatch.setattr(engine_room, "STOP_WITHIN_S", 0.05)
    engine = Hangs(stops=False)
    _, _, task = await running(hangs=engine)
    async with asyncio.timeout(20):
        await over(task)
    assert "Plugin engine 'hangs' took longer than 0.05 s to stop." in caplog.text
    await until(lambda: engine.given_up == ["stop"])


async def test_an_engine_may_say_how_long_its_end_takes(monkeypatch, caplog):
    monkeypatch.setattr(engine_room, "STOP_WITHIN_S", 0.05)

    class Long(InstantEngine):  # type: ignore[misc]
        stop_within_s = 60.0
        is_stopped = False

        async def stop(self):
            await asyncio.sleep(0.2)
            self.is_stopped = True

    engine = Long()
    _, _, task = await running(long=engine)
    await over(task)
    assert engine.is_stopped
    assert not caplog.text


async def test_what_an_engine_returns_when_it_stops_is_no_error(caplog):
    class Counts(InstantEngine):  # type: ignore[misc]
        async def stop(self):
            return 7

    _, _, task = await running(counts=Counts())
    await over(task)
    assert not caplog.text


@pytest.mark.parametrize("said", [KeyError("no such option"), "a while"])
async def test_an_engine_that_can_not_say_how_long_its_end_takes_keeps_none_from_it(caplog, said):
    stopped = []

    class Stops(InstantEngine):  # type: ignore[misc]
        async def stop(self):
            stopped.append(type(self))

    class Strange(Stops):
        @property
        def stop_within_s(self):
            if isinstance(said, Exception):
                raise said
            return said

    _, _, task = await running(strange=Strange(), fine=Stops())
    await over(task)
    assert stopped == [Strange, Stops]
    assert "Plugin engine 'strange' failed to say how long its end takes" in caplog.text


@pytest.mark.parametrize("way", ["hangs", "swallows its cancellation"])
async def test_an_engine_that_does_not_begin_in_time_ends_the_loop_by_its_name(monkeypatch, way):
    monkeypatch.setattr(engine_room, "START_WITHIN_S", 0.05)
    monkeypatch.setattr(engine_room, "CANCEL_WITHIN_S", 0.05)
    go = asyncio.Event()

    class Slow(InstantEngine):  # type: ignore[misc]
        async def start(self):
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    if way == "hangs":
                        raise

    async def listen(item):
        """Nobody listens."""

    driver = FleetDriver(
        Fleet(), MemoryLedger(), FirstCome(), {"slow": Slow()}, listen, SystemClock()
    )  # fmt: skip
    async with asyncio.timeout(20):
        with pytest.raises(engine_room.PluginError, match="'slow' took longer than 0.05 s to star"):
            await driver.run()
    go.set()
    await asyncio.sleep(0)
