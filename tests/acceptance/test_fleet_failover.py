"""Several coordinators on one PostgreSQL, and a PostgreSQL that goes and comes back."""

import signal
import sys
import threading
import time

import psutil
import pytest
from ledger_children import Coordinator
from ledger_rig import leading, new_place, step
from postgres_server import postgres_server

from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ports import LedgerGoneError, LostLeadershipError

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

FAILOVER_S = 10
BUSY_MACHINE = 4
"""The bound is this much wider than what a machine that does nothing else keeps."""


@pytest.fixture
def place(tmp_path):
    return new_place("postgresql", tmp_path)


def all_events(queries):
    """Return all events of a ledger, which gives them by the page."""
    found = []
    while page := queries.events(after=found[-1].seq if found else 0, limit=1_000):
        found += page
    return found


def history(place):
    """Return who made each change, in order: number, owner, epoch."""
    ledger = SqlLedger(place)
    events = all_events(LedgerQueries(ledger.database))
    ledger.close()
    rows = [(e.arguments["number"], e.arguments["owner"], e.arguments["epoch"]) for e in events]
    assert [number for number, *_ in rows] == list(range(1, len(rows) + 1)), "not one history"
    assert [epoch for *_, epoch in rows] == sorted(epoch for *_, epoch in rows)
    return rows


def stop_and_replace(first, second, stop):
    """Stop the leader longer than its ttl, then let it go on; return how long nobody led."""
    first.until("acknowledged")
    stop()
    begun_s = time.monotonic()
    second.until("acknowledged")
    failover_s = time.monotonic() - begun_s
    for _ in range(20):
        second.until("acknowledged")
    first.signal(signal.SIGCONT)
    assert "no longer leads" in first.until("lost")
    for _ in range(20):
        second.until("acknowledged")
    second.end()
    first.end()
    return failover_s


def test_a_leader_that_was_stopped_changes_nothing_when_it_goes_on(place):
    """With the ttl that coordinators have; the stop comes at any moment."""
    first = Coordinator(place, "first")
    first.until("leads")
    second = Coordinator(place, "second")
    time.sleep(0.7)
    failover_s = stop_and_replace(first, second, lambda: first.signal(signal.SIGSTOP))
    sys.stdout.write(f"\nfailover after SIGSTOP: {failover_s:.1f} s\n")
    assert failover_s < FAILOVER_S * BUSY_MACHINE
    rows = history(place)
    by_first = [number for number, owner, _ in rows if owner == "first"]
    # One commit may have been made whose answer it never took up; none after the other's first.
    assert by_first == list(range(1, len(by_first) + 1))
    assert set(first.acknowledged) <= set(by_first)
    assert len(by_first) <= len(first.acknowledged) + 1


@pytest.mark.parametrize("number", [3, 10])
def test_one_stopped_amid_a_transaction_holds_nobody_up(place, number):
    first = Coordinator(place, "first", ttl_s=1.0, stops_within=number)
    first.until("leads")
    wait_for(lambda: psutil.Process(first.process.pid).status() == psutil.STATUS_STOPPED)
    # Were it there before, a slow first one would be replaced before it comes to that transaction.
    second = Coordinator(place, "second", ttl_s=1.0)
    replace_stopped(first, second)
    rows = history(place)
    assert [n for n, owner, _ in rows if owner == "first"] == list(range(1, number))
    assert first.acknowledged == list(range(1, number))


def replace_stopped(first, second):
    for _ in range(20):
        second.until("acknowledged")
    first.signal(signal.SIGCONT)
    assert "no longer leads" in first.until("lost")
    second.end()
    first.end()


def test_a_killed_leader_is_replaced_and_nothing_it_was_told_is_lost(place):
    first = Coordinator(place, "first")
    first.until("leads")
    second = Coordinator(place, "second")
    for _ in range(5):
        first.until("acknowledged")
    first.signal(signal.SIGKILL)
    begun_s = time.monotonic()
    second.until("acknowledged")
    failover_s = time.monotonic() - begun_s
    sys.stdout.write(f"\nfailover after SIGKILL: {failover_s:.1f} s\n")
    assert failover_s < FAILOVER_S * BUSY_MACHINE
    second.end()
    assert set(first.acknowledged) <= {n for n, owner, _ in history(place) if owner == "first"}


def test_a_server_that_comes_back_finds_every_commit_made_once(place):
    """Two immediate shutdowns under a coordinator that commits as fast as it can."""
    server = postgres_server()
    ledger = leading(place, patience_s=90)
    stop, made, failed = threading.Event(), [], []

    def work():
        number = 1
        try:
            while not stop.is_set():
                ledger.commit(step(number))
                made.append(number)
                number += 1
        except (LedgerGoneError, LostLeadershipError) as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(2):
        before = len(made)
        wait_for(lambda before=before: len(made) > before + 5)
        server.kill()
        time.sleep(1.0)
        server.start()
        before = len(made)
        wait_for(lambda before=before: len(made) > before + 5)
    stop.set()
    thread.join(100)
    assert failed == []
    ask = LedgerQueries(ledger.database)
    assert ledger.load().next_token == made[-1] + 1
    assert ask.last_event() >= 3 * len(made)
    assert len(all_events(ask)) == 3 * len(made)
    assert len(ask.decisions("t1-0")) == 1
    ledger.close()


def test_a_server_that_stays_away_is_given_up_with_nothing_half(place):
    server = postgres_server()
    ledger = leading(place, patience_s=1.0)
    ledger.commit(step(1))
    server.kill()
    try:
        with pytest.raises(LedgerGoneError, match="does not answer") as caught:
            ledger.commit(step(2))
        assert caught.value.exit_code == 4
    finally:
        server.start()
    # It leads anew, and finds what was there.
    assert ledger.lead("me", wait_s=60).epoch == 2
    assert ledger.load().next_token == 2
    ledger.commit(step(2))
    assert len(LedgerQueries(ledger.database).events()) == 6
    ledger.close()


def wait_for(condition, within_s=90.0):
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "nothing happened"
        time.sleep(0.01)
