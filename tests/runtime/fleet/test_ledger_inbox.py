"""What is told to a coordinator that does not lead reaches the one that does, once."""

import asyncio
import contextlib
import time

import pytest
from fleet_rig import FirstCome, InstantEngine
from ledger_rig import leading, spec, task

from steelyard.domain.fleet.events import CancelAsked, DrainAsked, Refused, Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_inbox import Inbox, drain
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ports import Change, LostLeadershipError


def inbox_of(ledger):
    return Inbox(ledger, time.time_ns)


@pytest.fixture
def follower(place, ledger):
    made = SqlLedger(place)
    yield made
    made.close()


@contextlib.asynccontextmanager
async def draining(ledger):
    fleet, kept = Fleet(), ledger.load()
    fleet.restore(kept.tasks, kept.workers, kept.next_token, time.time_ns())

    async def listen(_):
        return

    engines = {"instant": InstantEngine()}
    driver = FleetDriver(fleet, ledger, FirstCome(), engines, listen, SystemClock())
    tasks = [
        asyncio.create_task(driver.run()),
        asyncio.create_task(drain(inbox_of(ledger), ledger, driver)),
    ]
    try:
        yield driver
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_submission_to_a_follower_is_carried_out_and_answered(ledger, follower):
    async with draining(ledger), asyncio.timeout(20):
        posted = inbox_of(follower)
        assert await posted.tell("m1", Submitted((spec("t"), spec("u")))) == ()
        refused = await posted.tell("m2", CancelAsked("nobody"))
        assert [r.reason for r in refused] == ["there is no such task"]
        assert await posted.tell("m3", DrainAsked("w0")) == ()
        ask = LedgerQueries(follower.database)
        while ask.counts()["completed"] < 2:
            await asyncio.sleep(0.02)
    assert {w.worker_id: w.draining for w in ask.workers()} == {"w0": True, "w1": False}


def test_a_message_posted_twice_is_there_once(follower):
    posted = inbox_of(follower)
    assert posted.post("m", Submitted((spec("t"),)))
    assert not posted.post("m", Submitted((spec("other"),)))
    (waiting,) = posted.waiting()
    assert waiting.message == Submitted((spec("t"),))
    assert posted.answer_to("m") is None


async def test_a_message_that_was_taken_and_not_answered_is_answered_by_the_next(ledger, follower):
    """The leader died between its commit and its answer: the tasks are there already."""
    posted = inbox_of(follower)
    message = Submitted((spec("t", labels={"a": "b"}), spec("theirs")))
    posted.post("m", message)
    first = task("t", labels={"a": "b"})
    ledger.commit(Change(tasks=(first, task("theirs", user="other")), next_token=1))
    async with draining(ledger), asyncio.timeout(20):
        refused = await posted.tell("m", message)
    assert [(r.task_id, r.reason) for r in refused] == [("theirs", "there is a task of that id")]


def test_only_the_leader_answers(ledger, follower):
    posted = inbox_of(follower)
    posted.post("m", CancelAsked("t"))
    (waiting,) = posted.waiting()
    with pytest.raises(LostLeadershipError):
        posted.answer(waiting, ())
    ledger.leadership.resign()
    follower.lead("follower", wait_s=60)
    with pytest.raises(LostLeadershipError):
        inbox_of(ledger).answer(waiting, ())
    assert posted.answer_to("m") is None
    refused = Refused("CancelAsked", "t", "there is no such task")
    posted.answer(waiting, (refused,))
    assert posted.answer_to("m") == (refused,)
    assert posted.waiting() == ()


async def test_messages_wait_for_a_leader(place):
    follower = SqlLedger(place)
    asked = asyncio.create_task(inbox_of(follower).tell("m", Submitted((spec("t"),))))
    await asyncio.sleep(0.3)
    assert not asked.done()
    leader = leading(place)
    async with draining(leader), asyncio.timeout(20):
        assert await asked == ()
    leader.close()
    follower.close()
