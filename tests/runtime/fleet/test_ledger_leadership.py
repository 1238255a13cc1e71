"""One coordinator leads, and no other can change anything; on every database."""

import asyncio
import multiprocessing
import os
import threading
import time

import pytest
from ledger_rig import leading, step
from sqlalchemy import select

from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_leadership import (
    Candidate,
    home_of_this_process,
    is_dead,
    keep_leading,
)
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_tables import LEADER
from steelyard.runtime.fleet.ports import Change, LedgerGoneError, LostLeadershipError

_FORK = multiprocessing.get_context("forkserver")


@pytest.fixture
def two(place):
    ledgers = [SqlLedger(place), SqlLedger(place)]
    yield ledgers
    for ledger in ledgers:
        ledger.close()


def test_a_second_coordinator_waits_while_the_first_is_heard(two):
    first, second = two
    leadership = first.lead("first", ttl_s=0.6)
    candidate = Candidate(second.database, "second")
    for _ in range(20):
        assert candidate.try_lead() is None
        time.sleep(0.05)
        leadership.renew()


def test_commits_are_signs_of_life_too(two):
    first, second = two
    first.lead("first", ttl_s=0.6)
    candidate = Candidate(second.database, "second")
    for _ in range(20):
        assert candidate.try_lead() is None
        time.sleep(0.05)
        first.commit(Change())


def test_a_silent_leader_is_replaced_after_its_ttl_and_changes_nothing_more(two):
    first, second = two
    leadership = first.lead("first", ttl_s=0.4)
    first.commit(step(1))
    begun = time.monotonic()
    # By the time that the silent one gave, and not by its own.
    assert second.lead("second", ttl_s=3600, wait_s=60).epoch == 2
    assert time.monotonic() - begun >= 0.4
    second.commit(step(2))
    with pytest.raises(LostLeadershipError, match="first no longer leads"):
        first.commit(step(3))
    with pytest.raises(LostLeadershipError):
        leadership.renew()
    assert second.load().next_token == 3
    assert LedgerQueries(second.database).task("t3-0") is None


def test_one_that_resigns_is_replaced_at_once(two):
    first, second = two
    first.lead("first", ttl_s=3600).resign()
    assert second.lead("second", wait_s=0).epoch == 2


def test_one_that_resigned_changes_nothing_although_nobody_leads_yet(two):
    first, _ = two
    leadership = first.lead("first", ttl_s=3600)
    leadership.resign()
    before = LedgerQueries(first.database).leader()
    with pytest.raises(LostLeadershipError, match="resigned"):
        leadership.renew()
    with pytest.raises(LostLeadershipError):
        first.commit(Change())
    assert LedgerQueries(first.database).leader() == before


def test_one_that_was_replaced_takes_nothing_away_by_resigning(two):
    first, second = two
    old = first.lead("first", ttl_s=0.2)
    second.lead("second", ttl_s=3600, wait_s=60)
    old.resign()
    assert LedgerQueries(first.database).leader().owner == "second"
    second.commit(step(1))


def test_who_waits_no_longer_says_so(two):
    first, second = two
    first.lead("first", ttl_s=3600)
    with pytest.raises(LostLeadershipError, match="Another coordinator leads"):
        second.lead("second", wait_s=0.1)


def _lead_and_die(place):
    leading(place, "short").commit(step(1))
    os._exit(9)


def test_a_dead_process_of_this_host_is_replaced_at_once(place):
    child = _FORK.Process(target=_lead_and_die, args=(place,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    ledger = SqlLedger(place)
    assert ledger.lead("next", wait_s=0).epoch == 2
    assert ledger.load().next_token == 2
    ledger.close()


def test_of_many_candidates_one_leads(place):
    """Eight at once for a lease that is free."""
    ledgers = [SqlLedger(place) for _ in range(8)]
    start, won = threading.Barrier(8), []

    def run(number):
        candidate = Candidate(ledgers[number].database, f"c{number}")
        start.wait()
        if candidate.try_lead() is not None:
            won.append(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1
    leader = LedgerQueries(ledgers[0].database).leader()
    assert (leader.owner, leader.epoch) == (f"c{won[0]}", 1)
    for ledger in ledgers:
        ledger.close()


class SetClock(SystemClock):
    """A candidate's own, which goes as far as the test says."""

    now_ns = 0

    def mono_ns(self):
        return self.now_ns


def renewals(ledger):
    return ledger.database.read(lambda c: c.execute(select(LEADER.c.renewals)).scalar_one())


async def test_a_coordinator_that_renews_keeps_leading_and_ends_when_it_is_replaced(two):
    first, second = two
    leadership = first.lead("first", ttl_s=0.6)
    renewing = asyncio.create_task(keep_leading(leadership))
    clock = second.database.clock = SetClock()
    candidate = Candidate(second.database, "second")
    for _ in range(4):
        assert await asyncio.to_thread(candidate.try_lead) is None
        seen = renewals(second)
        async with asyncio.timeout(30):
            while renewals(second) < seen + 1:
                await asyncio.sleep(0.02)
        clock.now_ns += 1_000_000_000  # longer than it may be silent; it was not
    assert await asyncio.to_thread(candidate.try_lead) is None
    leadership.resign()
    assert await asyncio.to_thread(candidate.try_lead) is not None
    with pytest.raises(LostLeadershipError):
        await asyncio.wait_for(renewing, 30)


async def test_who_waits_in_a_loop_leads_when_it_can_and_can_be_cancelled(two):
    first, second = two
    leadership = first.lead("first", ttl_s=3600)
    waiting = asyncio.create_task(second.leads("second"))
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    waiting = asyncio.create_task(second.leads("second"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    leadership.resign()
    assert (await asyncio.wait_for(waiting, 30)).epoch == 2
    second.commit(step(1))


def test_who_waits_gives_up_when_its_ledger_is_closed(two):
    first, second = two
    first.lead("first", ttl_s=3600)
    threading.Timer(0.2, second.close).start()
    with pytest.raises(LedgerGoneError, match="was closed"):
        second.lead("second")
    with pytest.raises(LedgerGoneError, match="was closed"):
        second.load()


def test_a_commit_whose_answer_was_lost_counts_once(ledger, monkeypatch):
    """The connection breaks after COMMIT was carried out: the transaction is tried again."""
    whole = ledger.database._once
    broken = []

    def break_after(work, *, writes):
        value = whole(work, writes=writes)
        if writes and not broken:
            broken.append(True)
            raise lost_connection(ledger)
        return value

    monkeypatch.setattr(ledger.database, "_once", break_after)
    ledger.commit(step(1))
    assert broken
    ask = LedgerQueries(ledger.database)
    assert (len(ask.events()), len(ask.decisions("t1-0"))) == (3, 1)
    ledger.commit(step(2))
    assert len(ask.events()) == 6


def lost_connection(ledger):
    from sqlalchemy.exc import OperationalError

    if ledger.database.is_sqlite:
        import sqlite3

        cause = sqlite3.OperationalError("database is locked")
        cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    else:
        import psycopg

        cause = psycopg.OperationalError("server closed the connection unexpectedly")
    return OperationalError("COMMIT", {}, cause)


def test_a_process_is_told_from_one_of_the_same_id():
    here = home_of_this_process()
    assert not is_dead(here)
    boot, namespace, pid, started = here.split(" ")
    assert is_dead(f"{boot} {namespace} {pid} {int(started) + 1}")
    assert not is_dead(f"{boot} pid:[1] {pid} 1")
    assert not is_dead(f"another-boot {namespace} {pid} 1")
    assert not is_dead("")
